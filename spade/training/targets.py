"""Annotation to the tensors that training compares with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_opening, label
from torch import Tensor

from spade.data.psg import Record
from spade.relations.pair_sampling import UNKNOWN
from spade.structures.regions import BoxRegions, Regions


@dataclass(frozen=True)
class Truth:
    """Annotation of ONE image: masks (N, H, W) float, classes (N,) int64, triples (R, 3) int64 (subject, object,
    predicate, which may be UNKNOWN).

    ``unnamed`` (V, H, W): regions that nobody named, to be found as segments all the same. ``boxes`` (N, 4) xyxy in
    shares of the image, where segments are boxes; masks are then filled boxes, and ``void`` (H, W) is what crowds and
    boxes of names that training leaves out cover alone.
    """

    masks: Tensor
    classes: Tensor
    triples: Tensor
    unnamed: Tensor
    boxes: Tensor | None = None
    void: Tensor | None = None

    def to(self, device: torch.device) -> Truth:
        """On a device, masks as numbers."""
        return Truth(
            self.masks.float().to(device),
            self.classes.to(device),
            self.triples.to(device),
            self.unnamed.float().to(device),
            None if self.boxes is None else self.boxes.to(device),
            None if self.void is None else self.void.float().to(device),
        )


VOID_AREA = 0.01  # of the image


def annotation(record: Record, regions: Regions, size: tuple[int, int], void_counts: bool = False) -> Truth:
    """A record's segments and triples, masks (N, H, W) bool at ``size`` (width, height).

    Crowds are left out, and so are segments without a pixel at that size, with their relations. ``void_counts``:
    regions of a map that the record does not know, void or of names that training leaves out, are segments without a
    name; of boxes only those of such names are, since nothing is known of what lies between boxes.
    """
    width, height = size
    small = regions.masks(size)
    shown = [i for i, segment in enumerate(record.segments) if not segment.is_crowd and small[i].any()]
    place = {index: n for n, index in enumerate(shown)}
    unnamed, void, boxes = torch.zeros((0, height, width), dtype=torch.bool), None, None
    if isinstance(regions, BoxRegions):
        hidden = BoxRegions.of(record.hidden_boxes, regions.size).masks(size)
        crowds = small[[i for i, segment in enumerate(record.segments) if segment.is_crowd]]
        void = torch.from_numpy(np.concatenate([hidden, crowds]).any(0) & ~small[shown].any(0))
        boxes = torch.from_numpy(regions.relative_boxes()[shown]).float()
        unnamed = torch.from_numpy(hidden) if void_counts else unnamed
    elif void_counts:
        unnamed = void_regions(np.asarray(~small.any(0)))
    triples = [(place[s], place[o], p) for s, o, p in record.learned_triples(UNKNOWN) if s in place and o in place]
    return Truth(
        torch.from_numpy(np.ascontiguousarray(small[shown]).reshape(-1, height, width)),
        torch.tensor([record.segments[i].category for i in shown], dtype=torch.int64),
        torch.tensor(triples, dtype=torch.int64).reshape(-1, 3),
        unnamed,
        boxes,
        void,
    )


def void_regions(void: np.ndarray) -> Tensor:
    """Connected regions (V, H, W) bool of void (H, W), without seams between segments and specks below ``VOID_AREA`` of
    the image.
    """
    wide = binary_opening(void, iterations=max(1, round(min(void.shape) / 128)))
    numbers, count = label(wide)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    large = 1 + np.flatnonzero(sizes >= VOID_AREA * void.size)
    return torch.from_numpy(numbers[None] == large[:, None, None])
