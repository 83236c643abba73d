"""Recall of relations: sums over judged images, divided once at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spade.evaluation.scoring.protocols import Hits, Judgement, Rules
from spade.evaluation.scoring.rows import among


@dataclass(frozen=True)
class Table:
    """All annotated triplets of I images in one list of T: ``image`` (T,), ``predicate`` (T,), ``rank`` (T,), -1 where
    not hit.
    """

    images: int
    image: np.ndarray
    predicate: np.ndarray
    rank: np.ndarray

    def part(self, chosen: np.ndarray) -> Table:
        """Only some triplets."""
        return Table(self.images, self.image[chosen], self.predicate[chosen], self.rank[chosen])

    def by_image(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Hits among the first k rows and triplets of each image: two arrays (I,)."""
        return np.bincount(self.image, among(self.rank, k), self.images), np.bincount(
            self.image, minlength=self.images
        ).astype(float)

    def recall(self, k: int) -> float | None:
        """Mean over the images that have a triplet of the share that is hit."""
        hits, count = self.by_image(k)
        there = count > 0
        return mean(hits[there] / count[there])

    def by_predicate(self, k: int, predicates: int) -> tuple[np.ndarray, np.ndarray]:
        """Share that is hit, and whether there is any, of each image and predicate: two arrays (I, P)."""
        key = self.image * predicates + self.predicate
        hits = np.bincount(key, among(self.rank, k), self.images * predicates).reshape(-1, predicates)
        count = np.bincount(key, minlength=self.images * predicates).reshape(-1, predicates)
        return hits / np.maximum(count, 1), count > 0

    def predicate_recalls(self, k: int, predicates: int) -> list[float | None]:
        """Of each predicate, the mean over the images that contain it; None where none does."""
        share, there = self.by_predicate(k, predicates)
        return [mean(share[there[:, p], p]) for p in range(predicates)]


def mean(values: np.ndarray) -> float | None:
    """Exact sum in the given order over the count; None of nothing."""
    return math.fsum(values) / len(values) if len(values) else None


def mean_recall(recalls: Sequence[float | None], absent: str) -> float | None:
    """Mean over predicates; absent ones count "zero", make it "undefined" (None), or are "left out"."""
    known = [value for value in recalls if value is not None]
    if not known or (absent == "undefined" and len(known) < len(recalls)):
        return None
    return math.fsum(known) / (len(recalls) if absent == "zero" else len(known))


class Recalls:
    """Recall of a list of judged images that have relations, all of which count."""

    def __init__(
        self, judged: Sequence[Judgement], rules: Rules, predicates: int, at: Sequence[int], corrected: bool = False
    ) -> None:
        self.judged, self.rules, self.predicates, self.at, self.corrected = (
            judged,
            rules,
            predicates,
            tuple(at),
            corrected,
        )
        hits = [self._hits(j) for j in judged]
        self.triples = np.concatenate([np.zeros((0, 3), np.int64), *(h.triples for h in hits)])
        self.image = np.repeat(np.arange(len(hits)), [len(h.triples) for h in hits])
        self.ranked = self._table(lambda h: h.first)
        self.given = self._table(lambda h: h.given)
        self.free = (
            None
            if any(h.free is None and j.answered for h, j in zip(hits, judged, strict=True))
            else self._table(_free)
        )

    def _hits(self, judgement: Judgement) -> Hits:
        return judgement.corrected if self.corrected else judgement.hits

    def _table(self, ranks: Callable[[Hits], np.ndarray]) -> Table:
        rank = np.concatenate([np.zeros(0, np.int64), *(ranks(self._hits(j)) for j in self.judged)])
        return Table(len(self.judged), self.image, self.triples[:, 2], rank)

    @property
    def absent(self) -> str:
        """What mR makes of predicates that never occur."""
        return "left out" if self.corrected else self.rules.absent

    def metrics(self, chosen: np.ndarray | None = None, prefix: str = "") -> dict[str, float | None]:
        """R@K, mR@K, ngR@K, ng-mR@K of all triplets, or of those ``chosen`` (T,) bool."""
        out: dict[str, float | None] = {}
        for free, table in (("", self.ranked), ("ng", self.free)):
            part = table if table is None or chosen is None else table.part(chosen)
            for k in self.at:
                name = f"{free}-{prefix}R@{k}" if free and prefix else f"{free}{prefix}R@{k}"
                out[name] = None if part is None else part.recall(k)
                if not prefix:
                    recalls = None if part is None else part.predicate_recalls(k, self.predicates)
                    out[f"{free}-mR@{k}" if free else f"mR@{k}"] = (
                        None if recalls is None else mean_recall(recalls, self.absent)
                    )
        return out

    def others(self) -> dict[str, float | None]:
        """PR@K, InstR."""
        out: dict[str, float | None] = {}
        for k in self.at:
            out[f"PR@{k}"] = mean(np.array([among(j.pairs, k).mean() for j in self.judged]))
        out["InstR"] = mean(np.array([j.found.mean() for j in self.judged]))
        return out

    def accuracy(self, strict: bool = False) -> dict[str, float | None]:
        """A@K: of all triplets together, the share that the first K rows on annotated pairs hit; over images with rows,
        or all.
        """
        answered = np.array([j.answered or strict for j in self.judged], bool)[self.given.image]
        rank = self.given.rank[answered]
        return {f"A@{k}": float(among(rank, k).sum() / len(rank)) if len(rank) else None for k in self.at}


def _free(hits: Hits) -> np.ndarray:
    return np.full(len(hits.triples), -1, np.int64) if hits.free is None else hits.free
