"""An image's segments between the two halves of a prediction, and the scene graph that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.panoptic import PanopticSegment
from spade.structures.panoptic_png import spread_id
from spade.structures.regions import MapRegions, Regions
from spade.structures.scene_graph import SceneGraph, Segment, best_relations
from spade.structures.segment_map import measured


@dataclass(frozen=True)
class SegmentedImage:
    """An image's segments, before anything is said of their relations.

    ``regions``: where its ``segments`` are, in their order.
    """

    name: str
    regions: Regions
    segments: list[PanopticSegment]
    vocabulary: EncodedVocabulary
    proposals: Proposals
    cells: Tensor | None  # OpenCLIP's embeddings (D, h, w), where it has a say
    latents: Tensor  # of the image, (1, D, h, w)
    found: bool = True  # whether the segments were merged from the proposals, or given

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        cells = 0 if self.cells is None else self.cells.numel() * self.cells.element_size()
        return self.regions.nbytes + cells + self.proposals.bytes


def cell_masks(regions: Regions, like: Tensor) -> Tensor:
    """Masks (N, h, w) in [0, 1] of segments, at the size of ``like`` (.., h, w)."""
    return torch.from_numpy(regions.shares((like.shape[-2], like.shape[-1]))).to(like.device)


def scene_graph_of(
    segmented: SegmentedImage, pairs: np.ndarray, scores: np.ndarray, facts: dict[str, Any], top: int, min_score: float
) -> SceneGraph:
    """The graph of an image's segments with their best relations: pairs (R, 2), scores (R, P)."""
    proposals, regions, vocabulary = segmented.segments, segmented.regions, segmented.vocabulary.vocabulary
    identities = np.array([0, *(spread_id(n) for n in range(len(proposals)))], np.uint32)
    unmeasured = []
    for identity, item in zip(identities[1:].tolist(), proposals, strict=True):
        label = vocabulary.objects[item.category]
        unmeasured.append(
            Segment(
                identity, label.name, item.category, label.is_thing, item.score, (0, 0, 0, 0), 0, label.supercategory
            )
        )
    if isinstance(regions, MapRegions):
        segments, panoptic = measured(unmeasured, regions.numbers), identities[regions.numbers]
    else:
        segments, panoptic = boxed(unmeasured, regions), None
    relations = best_relations(segments, pairs, scores, vocabulary.predicates, top, min_score)
    names = vocabulary.names, vocabulary.predicates
    return SceneGraph(segmented.name, *regions.size, segments, relations, *names, panoptic, facts)


def boxed(segments: Sequence[Segment], regions: Regions) -> tuple[Segment, ...]:
    """The segments with their regions' boxes, in whole pixels of which there is at least one each way."""
    width, height = regions.size
    boxes = (regions.relative_boxes() * (width, height, width, height)).round().astype(int)
    done = []
    for segment, (x1, y1, x2, y2) in zip(segments, boxes.tolist(), strict=True):
        left, upper = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        box = left, upper, min(max(x2, left + 1), width), min(max(y2, upper + 1), height)
        done.append(replace(segment, bbox=box, area=(box[2] - box[0]) * (box[3] - box[1])))
    return tuple(done)
