"""Recall of relations by the rules of OpenPSG's evaluator (docs/evaluation.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spade.evaluation.matching import Overlaps
from spade.evaluation.predictions import PredictedImage

IOU = 0.5


def rank_rows(predicted: PredictedImage) -> np.ndarray:
    """Order of the rows: best predicate score x subject score x object score, descending, stable."""
    if not len(predicted.pairs):
        return np.zeros(0, np.int64)
    segment = np.array([s.score for s in predicted.segments])
    strength = predicted.scores.max(1) * segment[predicted.pairs[:, 0]] * segment[predicted.pairs[:, 1]]
    return np.argsort(-strength, kind="stable")


def first_hits(
    predicted: PredictedImage, found: Overlaps, true_classes: Sequence[int], triples: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """Rank (from 0) of the first row that hits each true triple, -1 where none does: (T,).

    A row, with its best predicate, hits a triple when the three classes agree and both IoUs are at least 0.5; a row
    may hit several triples, a triple counts once.
    """
    result = np.full(len(triples), -1, np.int64)
    order = rank_rows(predicted)
    if not len(order) or not triples:
        return result
    category = np.array([s.category for s in predicted.segments])
    fits = (found.iou() >= IOU) & (category[:, None] == np.asarray(true_classes)[None])
    pairs, predicate = predicted.pairs[order], predicted.scores[order].argmax(1)
    for index, (subject, target, name) in enumerate(triples):
        hit = fits[pairs[:, 0], subject] & fits[pairs[:, 1], target] & (predicate == name)
        if hit.any():
            result[index] = int(hit.argmax())
    return result


@dataclass
class RecallSums:
    """Per-image recalls, to be divided once at the end; ``merge`` joins parts in image order."""

    at: tuple[int, ...]
    predicates: int
    recalls: list[tuple[float, ...]] = field(default_factory=list)  # one value a k, for each image
    by_predicate: list[dict[int, tuple[float, ...]]] = field(default_factory=list)
    skipped: int = 0  # images without a prediction, or without rows
    truthless: int = 0  # images without a relation: no protocol counts them

    def add(self, hits: np.ndarray, triples: Sequence[tuple[int, int, int]]) -> None:
        """One image with relations and with rows."""
        found = [(hits >= 0) & (hits < k) for k in self.at]
        self.recalls.append(tuple(float(f.mean()) for f in found))
        names = np.array([triple[2] for triple in triples])
        self.by_predicate.append({int(p): tuple(float(f[names == p].mean()) for f in found) for p in np.unique(names)})

    def merge(self, other: RecallSums) -> None:
        """Append the images of a later part."""
        self.recalls += other.recalls
        self.by_predicate += other.by_predicate
        self.skipped += other.skipped
        self.truthless += other.truthless

    def figures(self) -> dict[str, float | None]:
        """R@k and mR@k as fractions; None without any image. Absent predicates count 0 in mR@k, as in OpenPSG."""
        images = len(self.recalls)
        out: dict[str, float | None] = {}
        for i, k in enumerate(self.at):
            out[f"R@{k}"] = math.fsum(r[i] for r in self.recalls) / images if images else None
            per = [value for value in self.per_predicate(i) if value is not None]
            out[f"mR@{k}"] = math.fsum(per) / self.predicates if images else None
        return out

    def strict(self) -> dict[str, float | None]:
        """R@k with skipped images counted as 0."""
        images = len(self.recalls) + self.skipped
        return {f"R@{k}": math.fsum(r[i] for r in self.recalls) / images if images else None for i, k in enumerate(self.at)}

    def per_predicate(self, which: int) -> list[float | None]:
        """Recall of each predicate at the which-th k: the mean over the images that contain it; None where none does."""
        values: dict[int, list[float]] = {}
        for image in self.by_predicate:
            for predicate, recall in image.items():
                values.setdefault(predicate, []).append(recall[which])
        return [math.fsum(values[p]) / len(values[p]) if p in values else None for p in range(self.predicates)]
