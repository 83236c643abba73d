"""Panoptic quality by panopticapi's rules: match above IoU 0.5 with void taken out of the union."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spade.evaluation.matching import Overlaps


@dataclass
class QualitySums:
    """Counts per class; ious are kept, to be summed exactly at the end."""

    classes: int
    things: int  # the first of the classes
    ious: list[list[float]] = field(init=False)
    false_positives: np.ndarray = field(init=False)
    false_negatives: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.ious = [[] for _ in range(self.classes)]
        self.false_positives = np.zeros(self.classes, np.int64)
        self.false_negatives = np.zeros(self.classes, np.int64)

    def add(self, predicted_classes: Sequence[int], true_classes: Sequence[int], crowd: Sequence[bool], found: Overlaps) -> None:
        """One image. A crowd is never matched; a prediction more than half on void or on crowds of its class is no mistake."""
        predicted, true = np.asarray(predicted_classes, np.int64), np.asarray(true_classes, np.int64)
        crowds = np.asarray(crowd, bool)
        union = found.predicted_area[:, None] + found.true_area[None] - found.joint - found.void[:, None]
        iou = found.joint / np.maximum(union, 1)
        match = (iou > 0.5) & (predicted[:, None] == true[None]) & ~crowds[None]
        for p, t in zip(*np.nonzero(match), strict=True):
            self.ious[true[t]].append(float(iou[p, t]))
        for t in np.flatnonzero(~match.any(0) & ~crowds & (found.true_area > 0)):
            self.false_negatives[true[t]] += 1
        for p in np.flatnonzero(~match.any(1) & (found.predicted_area > 0)):
            same_crowd = crowds & (true == predicted[p])
            excused = found.void[p] + found.joint[p, same_crowd].sum()
            if excused / found.predicted_area[p] <= 0.5:
                self.false_positives[predicted[p]] += 1

    def merge(self, other: QualitySums) -> None:
        """Append the images of a later part."""
        for mine, theirs in zip(self.ious, other.ious, strict=True):
            mine += theirs
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives

    def per_class(self) -> list[dict[str, float] | None]:
        """PQ, SQ and RQ of each class as fractions; None where a class occurs neither in truth nor in prediction."""
        rows: list[dict[str, float] | None] = []
        for ious, fp, fn in zip(self.ious, self.false_positives, self.false_negatives, strict=True):
            weight = len(ious) + 0.5 * int(fp) + 0.5 * int(fn)
            if weight == 0:
                rows.append(None)
                continue
            total = math.fsum(ious)
            rows.append({"PQ": total / weight, "SQ": total / len(ious) if ious else 0.0, "RQ": len(ious) / weight})
        return rows

    def figures(self) -> dict[str, float | None]:
        """Means over the classes that occur: PQ, SQ, RQ, and those of things and stuff."""
        rows = self.per_class()
        out: dict[str, float | None] = {}
        for suffix, part in (("", rows), ("_things", rows[: self.things]), ("_stuff", rows[self.things :])):
            present = [row for row in part if row is not None]
            for name in ("PQ", "SQ", "RQ"):
                out[name + suffix] = math.fsum(row[name] for row in present) / len(present) if present else None
        return out
