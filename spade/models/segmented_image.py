"""An image's segments between the two halves of a prediction, and the scene graph that comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.panoptic import PanopticSegment
from spade.structures.panoptic_png import spread_id
from spade.structures.scene_graph import SceneGraph, Segment, best_relations
from spade.structures.segment_map import boxes_and_areas, cell_shares, measured


@dataclass(frozen=True)
class SegmentedImage:
    """An image's segments, before anything is said of their relations.

    ``numbers`` (H, W) holds n where the n-th of ``segments`` is, counted from 1, and 0 elsewhere.
    """

    name: str
    numbers: np.ndarray
    segments: list[PanopticSegment]
    vocabulary: EncodedVocabulary
    proposals: Proposals
    attention: Tensor | None  # to the predicates (P, h, w)
    cells: Tensor | None  # OpenCLIP's embeddings (D, h, w), where it has a say
    latents: Tensor  # of the image, (1, D, h, w)
    found: bool = True  # whether the segments were merged from the proposals, or given

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        others = sum(t.numel() * t.element_size() for t in (self.attention, self.cells) if t is not None)
        return self.numbers.nbytes + others + self.proposals.bytes


def cell_masks(numbers: np.ndarray, count: int, like: Tensor) -> Tensor:
    """Masks (N, h, w) in [0, 1] of the segments 1 .. N of a map (H, W), at the size of ``like`` (.., h, w)."""
    shares = cell_shares(numbers, count, (like.shape[-2], like.shape[-1]))
    return torch.from_numpy(shares).to(like.device)


def relative_boxes(numbers: np.ndarray, count: int) -> Tensor:
    """Boxes (N, 4) xyxy in shares of the image of the segments 1 .. N of a map (H, W); zeros for one without a
    pixel.
    """
    height, width = numbers.shape
    boxes, _ = boxes_and_areas(numbers, count)
    return torch.from_numpy(boxes).float() / torch.tensor([width, height, width, height])


def scene_graph_of(
    segmented: SegmentedImage, pairs: np.ndarray, scores: np.ndarray, facts: dict[str, Any], top: int, min_score: float
) -> SceneGraph:
    """The graph of an image's segments with their best relations: pairs (R, 2), scores (R, P)."""
    proposals, numbers, vocabulary = segmented.segments, segmented.numbers, segmented.vocabulary.vocabulary
    identities = np.array([0, *(spread_id(n) for n in range(len(proposals)))], np.uint32)
    unmeasured = []
    for identity, item in zip(identities[1:].tolist(), proposals, strict=True):
        label = vocabulary.objects[item.category]
        unmeasured.append(
            Segment(
                identity, label.name, item.category, label.is_thing, item.score, (0, 0, 0, 0), 0, label.supercategory
            )
        )
    segments = measured(unmeasured, numbers)
    relations = best_relations(segments, pairs, scores, vocabulary.predicates, top, min_score)
    height, width = numbers.shape
    names = vocabulary.names, vocabulary.predicates
    return SceneGraph(segmented.name, width, height, segments, relations, *names, identities[numbers], facts)
