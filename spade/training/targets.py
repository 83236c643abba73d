"""Annotation to the tensors that training compares with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_opening, label
from torch import Tensor

from spade.data.psg import Record
from spade.relations.pair_sampling import UNKNOWN


@dataclass(frozen=True)
class Truth:
    """Annotation of ONE image: masks (N, H, W) float, classes (N,) int64, triples (R, 3) int64 (subject, object,
    predicate, which may be UNKNOWN).

    ``unnamed`` (V, H, W): regions that nobody named, to be found as segments all the same.
    """

    masks: Tensor
    classes: Tensor
    triples: Tensor
    unnamed: Tensor

    def to(self, device: torch.device) -> Truth:
        """On a device, masks as numbers."""
        return Truth(
            self.masks.float().to(device),
            self.classes.to(device),
            self.triples.to(device),
            self.unnamed.float().to(device),
        )


VOID_AREA = 0.01  # of the image


def annotation(record: Record, ids: np.ndarray, size: tuple[int, int], void_counts: bool = False) -> Truth:
    """A record's segments and triples, masks (N, H, W) bool at ``size`` (width, height).

    Crowds are left out, and so are segments without a pixel at that size, with their relations. ``void_counts``:
    regions that the record does not know, void or of names that training leaves out, are segments without a name.
    """
    width, height = size
    rows = (np.arange(height) * ids.shape[0] + ids.shape[0] // 2) // height
    columns = (np.arange(width) * ids.shape[1] + ids.shape[1] // 2) // width
    small = ids[np.minimum(rows, ids.shape[0] - 1)][:, np.minimum(columns, ids.shape[1] - 1)]
    masks: list[np.ndarray] = []
    classes: list[int] = []
    place: dict[int, int] = {}
    for index, segment in enumerate(record.segments):
        mask = small == segment.id
        if segment.is_crowd or not mask.any():
            continue
        place[index] = len(masks)
        masks.append(mask)
        classes.append(segment.category)
    unnamed = (
        void_regions(~np.isin(small, [segment.id for segment in record.segments]))
        if void_counts
        else torch.zeros((0, height, width), dtype=torch.bool)
    )
    triples = [(place[s], place[o], p) for s, o, p in record.learned_triples(UNKNOWN) if s in place and o in place]
    stacked = torch.from_numpy(np.stack(masks)) if masks else torch.zeros((0, height, width), dtype=torch.bool)
    return Truth(
        stacked,
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(triples, dtype=torch.int64).reshape(-1, 3),
        unnamed,
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
