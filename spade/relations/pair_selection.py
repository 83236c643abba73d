"""The pair matrix, and which ordered pairs are worth a closer look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


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
    """SPADE's own pair matrix: cosines of the nodes themselves, symmetric. forward: (..., N, D) -> (..., N, N) in [-1,
    1].
    """

    def forward(self, nodes: Tensor) -> Tensor:
        """(..., N, N) cosines, equal in both directions."""
        unit = normalize(nodes, dim=-1)
        return unit @ unit.transpose(-1, -2)


def select_pairs(similarity: Tensor, count: int) -> Tensor:
    """The ``count`` most similar ordered pairs of ONE image, (R, 2) indices, best first; no segment with itself."""
    nodes = similarity.shape[0]
    scores = similarity.masked_fill(torch.eye(nodes, dtype=torch.bool, device=similarity.device), float("-inf"))
    best = torch.argsort(scores.flatten(), descending=True, stable=True)[: min(count, nodes * (nodes - 1))]
    return torch.stack([best // nodes, best % nodes], dim=1)


def selected_recall(pairs: Tensor | np.ndarray, triples: Sequence[tuple[int, int, int]], count: int) -> float | None:
    """Share of the annotated pairs among the first ``count`` selected ones, (R, 2) indices, best first; None where none
    is annotated.

    It judges the pair matrix alone: which pairs are worth a closer look, not how they are ranked after it.
    """
    related = {(subject, target) for subject, target, _ in triples if subject != target}
    first = {(subject, target) for subject, target in pairs[:count].tolist()}
    return len(related & first) / len(related) if related else None


def mean_selected_recall(
    images: Iterable[tuple[Tensor | np.ndarray, Sequence[tuple[int, int, int]]]], count: int
) -> float | None:
    """PS@``count``: the mean of ``selected_recall`` over images, each its pairs and triples, that have an annotated
    pair.
    """
    shares = [selected_recall(pairs, triples, count) for pairs, triples in images]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None
