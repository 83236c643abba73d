"""What relations can be told from labels alone: how often each predicate stood between two labels in training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np

Triple = tuple[int, int, int]


def all_pairs(count: int) -> np.ndarray:
    """Every ordered pair of segments, (R, 2)."""
    return np.array(list(permutations(range(count), 2)), np.int64).reshape(-1, 2)


class Frequency:
    """P(related | labels) x P(predicate | labels, related), counted; a label pair that is rare leans on the predicates'
    own frequency (the baseline of Zellers et al., 2018, with smoothing).

    images: of each, the labels (N,) of its segments and their triples.
    """

    def __init__(self, images: Iterable[tuple[np.ndarray, Sequence[Triple]]], labels: int, predicates: int) -> None:
        both, counted = np.zeros((labels, labels)), np.zeros((labels, labels, predicates))
        for own, triples in images:
            pairs = all_pairs(len(own))
            np.add.at(both, (own[pairs[:, 0]], own[pairs[:, 1]]), 1)
            for s, o, p in triples:
                counted[own[s], own[o], p] += 1
        prior = (counted.sum((0, 1)) + 1) / (counted.sum() + predicates)
        related = (counted.sum(-1) + counted.sum() / max(both.sum(), 1)) / (both + 1)
        self.table = related[..., None].clip(max=1) * (counted + prior) / (counted.sum(-1, keepdims=True) + 1)

    def __call__(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of an image's segments with ``labels`` (N,): pairs (R, 2) and scores (R, P)."""
        pairs = all_pairs(len(labels))
        return pairs, self.table[labels[pairs[:, 0]], labels[pairs[:, 1]]].astype(np.float32)
