"""Relation rows in rank order, and the first of them that hit each annotated relation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FREE = 100  # candidates without graph constraint that evaluators look at


@dataclass(frozen=True)
class Rows:
    """R rows, best first: ``pairs`` (R, 2) segment indices (subject, object), ``predicates`` (R,) each row's best.

    ``scores`` (R, P) are all predicates' scores, ``weights`` (R,) the product of both segments' scores. Where a system
    hands over ranked lists instead, both are None, and ``free`` (M, 3) is its own list without graph constraint, if it
    has one.
    """

    pairs: np.ndarray
    predicates: np.ndarray
    scores: np.ndarray | None = None
    weights: np.ndarray | None = None
    free: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def triples(self) -> np.ndarray:
        """(R, 3) subject, object, predicate."""
        return np.column_stack([self.pairs, self.predicates])

    def take(self, index: np.ndarray) -> Rows:
        """Only these rows; a list without graph constraint stays as it is."""
        scores, weights = (None if values is None else values[index] for values in (self.scores, self.weights))
        return Rows(self.pairs[index], self.predicates[index], scores, weights, self.free)

    def distinct(self) -> Rows:
        """Without rows that repeat an earlier one's subject, object and predicate."""
        return self.take(_first(self.triples))

    def one_a_pair(self) -> Rows:
        """The first row of each ordered pair."""
        return self.take(_first(self.pairs))

    def moved(self, to: np.ndarray) -> Rows:
        """Rows about other segments: i becomes ``to[i]``; rows about a segment that becomes -1 are dropped."""
        free = self.free
        if free is not None:
            free = np.column_stack([to[free[:, :2]], free[:, 2]])
            free = free[(free[:, :2] >= 0).all(1)]
        pairs = to[self.pairs]
        valid = np.flatnonzero((pairs >= 0).all(1))
        return Rows(pairs, self.predicates, self.scores, self.weights, free).take(valid)

    def candidates(self, distinct: bool = False, plain: bool = False) -> np.ndarray | None:
        """(M, 3) the best ``FREE`` of all (row, predicate); ``distinct``: without repeated ones. None where no scores
        are known.

        They go by score times weight, or by score alone (``plain``).
        """
        if self.scores is None or self.weights is None:
            chosen = self.free
            if chosen is not None and distinct:
                chosen = chosen[_first(chosen)]
            return None if chosen is None else chosen[:FREE]
        flat = (self.scores if plain else self.scores * self.weights[:, None]).ravel()
        predicates = max(self.scores.shape[1], 1)
        if distinct and len(_first(self.pairs)) < len(self.pairs):
            order = np.argsort(-flat, kind="stable")
            order = order[_first(np.column_stack([self.pairs[order // predicates], order % predicates]))]
        else:
            # Only what reaches the FREE-th best value needs sorting; equal values stay in the order of the rows.
            least = np.partition(flat, len(flat) - FREE)[len(flat) - FREE] if len(flat) > FREE else -np.inf
            near = np.flatnonzero(flat >= least)
            order = near[np.argsort(-flat[near], kind="stable")]
        order = order[:FREE]
        return np.column_stack([self.pairs[order // predicates], order % predicates])


def ranked(pairs: np.ndarray, scores: np.ndarray, segment_scores: np.ndarray) -> Rows:
    """Rows in rank order: best predicate score x subject score x object score, descending, stable."""
    if not len(pairs):
        return Rows(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros((0, scores.shape[-1])), np.zeros(0))
    weights = segment_scores[pairs[:, 0]] * segment_scores[pairs[:, 1]]
    order = np.argsort(-scores.max(1) * weights, kind="stable")
    return Rows(pairs[order], scores.argmax(1)[order], scores[order], weights[order])


def first_hits(rows: np.ndarray, found: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Rank (from 0) of the first of ``rows`` (R, 3) that hits each of ``triples`` (T, 3), -1 where none does: (T,).

    A row hits a triple when ``found`` (N, M) matches both its segments and the predicates are equal.
    """
    return _first_true(_pairs_hit(rows, found, triples) & (rows[:, 2, None] == triples[None, :, 2]))


def first_pairs(rows: np.ndarray, found: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Rank of the first row about each of ``pairs`` (Q, 2), whatever its predicate: (Q,); -1 where there is none."""
    return _first_true(_pairs_hit(rows, found, pairs))


def on_true_pairs(rows: np.ndarray, found: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """The rows whose pair is annotated at all."""
    return rows[_pairs_hit(rows, found, triples).any(1)]


def among(rank: np.ndarray, k: int) -> np.ndarray:
    """Which ranks (T,) lie among the first k; -1 does not."""
    return (rank >= 0) & (rank < k)


def _pairs_hit(rows: np.ndarray, found: np.ndarray, triples: np.ndarray) -> np.ndarray:
    return found[rows[:, 0]][:, triples[:, 0]] & found[rows[:, 1]][:, triples[:, 1]]


def _first_true(hit: np.ndarray) -> np.ndarray:
    if not len(hit):
        return np.full(hit.shape[1], -1, np.int64)
    return np.where(hit.any(0), hit.argmax(0), -1)


def _first(keys: np.ndarray) -> np.ndarray:
    """Indices of the first occurrence of each row of ``keys`` (R, C), not negative, in order."""
    if not len(keys):
        return np.zeros(0, np.int64)
    packed = keys[:, 0].astype(np.int64)
    for column in keys.T[1:]:
        packed = (
            packed * (int(column.max()) + 1) + column
        )  # indices of segments and predicates: far below 2**63 together
    return np.sort(np.unique(packed, return_index=True)[1])
