"""Ordered pairs: how likely they are related, which are worth a closer look, and their geometry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

BASIC, DETAILED = 7, 17  # facts about an ordered pair


class PairSimilarity(nn.Module):
    """The pair matrix Psi as cosines between nodes in the role of subject and nodes in the role of object.

    SPADE's Psi is the cosine of the refined queries themselves; that is symmetric and cannot tell (s, o) from
    (o, s), so each role has its own projection here. forward: (..., N, D) -> (..., N, N) in [-1, 1].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.subject, self.object = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, nodes: Tensor) -> Tensor:
        """Row: subject, column: object."""
        return normalize(self.subject(nodes), dim=-1) @ normalize(self.object(nodes), dim=-1).transpose(-1, -2)


class PairCosine(nn.Module):
    """SPADE's own pair matrix: cosines of the nodes themselves, symmetric. forward: (..., N, D) -> (..., N, N) in [-1, 1]."""

    def forward(self, nodes: Tensor) -> Tensor:
        """The same in both directions."""
        unit = normalize(nodes, dim=-1)
        return unit @ unit.transpose(-1, -2)


def select_pairs(similarity: Tensor, count: int) -> Tensor:
    """The ``count`` most similar ordered pairs of ONE image, (R, 2) indices, best first; no segment with itself."""
    nodes = similarity.shape[0]
    scores = similarity.masked_fill(torch.eye(nodes, dtype=torch.bool, device=similarity.device), float("-inf"))
    best = torch.argsort(scores.flatten(), descending=True, stable=True)[: min(count, nodes * (nodes - 1))]
    return torch.stack([best // nodes, best % nodes], dim=1)


def selected_recall(pairs: Tensor | np.ndarray, triples: Sequence[tuple[int, int, int]], count: int) -> float | None:
    """Share of the annotated pairs among the first ``count`` selected ones, (R, 2) indices, best first; None where none is annotated.

    It judges the pair matrix alone: which pairs are worth a closer look, not how they are ranked after it.
    """
    related = {(subject, target) for subject, target, _ in triples if subject != target}
    first = {(subject, target) for subject, target in pairs[:count].tolist()}
    return len(related & first) / len(related) if related else None


def mean_selected_recall(images: Iterable[tuple[Tensor | np.ndarray, Sequence[tuple[int, int, int]]]], count: int) -> float | None:
    """PS@``count``: the mean of ``selected_recall`` over images, each its pairs and triples, that have an annotated pair."""
    shares = [selected_recall(pairs, triples, count) for pairs, triples in images]
    told = [share for share in shares if share is not None]
    return sum(told) / len(told) if told else None


def pair_geometry(boxes: Tensor, area: Tensor, pairs: Tensor, facts: int = BASIC) -> Tensor:
    """(R, facts) for ordered pairs (R, 2) of boxes (N, 4) and mask areas (N,), all in shares of the picture; see ``geometry_of``."""
    first, second = pairs.unbind(1)
    return geometry_of(boxes[first], boxes[second], area[first], area[second], facts)


def geometry_of(first: Tensor, second: Tensor, first_area: Tensor, second_area: Tensor, facts: int = BASIC) -> Tensor:
    """(..., facts) of boxes (..., 4) in the role of subject and of object, and the areas (...) of their masks.

    Basic: offset x and y from subject to object, distance of centres, box IoU, log area ratio, and the share of each box that the
    other covers. Detailed adds: log ratios of widths and heights, offsets in mean widths and heights, how much lower the object's lower
    and upper edges are (who stands nearer, who hangs), gaps in x and y, and the roots of both mask areas.
    """
    offset = (second[..., :2] + second[..., 2:] - first[..., :2] - first[..., 2:]) / 2
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1).clamp(min=1e-5) for box in (first, second)]
    iou = overlap / (areas[0] + areas[1] - overlap)
    ratio = (areas[0] / areas[1]).log() / 4
    basic = torch.stack([*offset.unbind(-1), offset.norm(dim=-1), iou, ratio, overlap / areas[0], overlap / areas[1]], dim=-1)
    if facts == BASIC:
        return basic
    sizes = [(box[..., 2:] - box[..., :2]).clamp(min=1e-3) for box in (first, second)]
    scaled = (2 * offset / (sizes[0] + sizes[1])).clamp(-4, 4) / 4
    gap = (low - high).clamp(min=0)
    edges = second[..., [3, 1]] - first[..., [3, 1]]
    roots = torch.stack(torch.broadcast_tensors(first_area, second_area), dim=-1).sqrt()
    return torch.cat([basic, (sizes[0] / sizes[1]).log() / 4, scaled, edges, gap, roots], dim=-1)
