"""Panoptic quality by panopticapi's rules: match above IoU 0.5 with void taken out of the union."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spade.evaluation.scoring.masks import Overlaps


@dataclass(frozen=True)
class ImageQuality:
    """One image: classes of the matches and their IoUs, of the false positives, of the misses."""

    matched: np.ndarray
    ious: np.ndarray
    false: np.ndarray
    missed: np.ndarray


def judge_quality(predicted: np.ndarray, true: np.ndarray, crowd: np.ndarray, found: Overlaps | None) -> ImageQuality:
    """Judge classes ``predicted`` (N,) against ``true`` (M,), ``crowd`` (M,); ``found`` None: nothing was predicted.

    A crowd is never matched; a prediction more than half on void or on crowds of its class is no mistake; one without
    a pixel does not exist.
    """
    if found is None:
        return ImageQuality(true[:0], np.zeros(0), true[:0], true[~crowd])
    union = found.predicted_area[:, None] + found.true_area[None] - found.joint - found.void[:, None]
    iou = found.joint / np.maximum(union, 1)
    match = (iou > 0.5) & (predicted[:, None] == true[None]) & ~crowd[None]
    p, t = np.nonzero(match)
    own_crowd = crowd[None] & (predicted[:, None] == true[None])
    excused = found.void + (found.joint * own_crowd).sum(1)
    false = ~match.any(1) & (found.predicted_area > 0) & (excused / np.maximum(found.predicted_area, 1) <= 0.5)
    return ImageQuality(true[t], iou[p, t], predicted[false], true[~match.any(0) & ~crowd])


class Quality:
    """Sums over images, in their order."""

    def __init__(self, images: Sequence[ImageQuality], classes: int, things: int) -> None:
        self.images, self.classes, self.things = images, classes, things
        self._matched = np.concatenate([np.zeros(0, np.int64), *(image.matched for image in images)])
        self._ious = np.concatenate([np.zeros(0), *(image.ious for image in images)])
        self.false = _count([image.false for image in images], classes)
        self.missed = _count([image.missed for image in images], classes)

    def per_class(self) -> list[dict[str, float] | None]:
        """PQ, SQ, RQ as fractions with TP, FP, FN of each class; None where it occurs neither in truth nor in
        prediction.
        """
        rows: list[dict[str, float] | None] = []
        for index in range(self.classes):
            ious = self._ious[self._matched == index]
            fp, fn = int(self.false[index]), int(self.missed[index])
            weight = len(ious) + 0.5 * fp + 0.5 * fn
            if weight == 0:
                rows.append(None)
                continue
            total = math.fsum(ious)
            sums = {"PQ": total / weight, "SQ": total / len(ious) if len(ious) else 0.0, "RQ": len(ious) / weight}
            rows.append(sums | {"TP": len(ious), "FP": fp, "FN": fn})
        return rows

    def metrics(self) -> dict[str, float | None]:
        """Means over the classes that occur: PQ, SQ, RQ, and those of things and stuff."""
        rows = self.per_class()
        out: dict[str, float | None] = {}
        for suffix, part in (("", rows), ("_things", rows[: self.things]), ("_stuff", rows[self.things :])):
            present = [row for row in part if row is not None]
            for name in ("PQ", "SQ", "RQ"):
                out[name + suffix] = math.fsum(row[name] for row in present) / len(present) if present else None
        return out

    def by_image(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of IoU and of TP + FP / 2 + FN / 2 of each image and class: two arrays (I, C), for resampling."""
        iou, weight = np.zeros((2, len(self.images), self.classes))
        for row, image in enumerate(self.images):
            np.add.at(iou[row], image.matched, image.ious)
            for classes, share in ((image.matched, 1.0), (image.false, 0.5), (image.missed, 0.5)):
                np.add.at(weight[row], classes, share)
        return iou, weight


def _count(parts: Sequence[np.ndarray], classes: int) -> np.ndarray:
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *parts]), minlength=classes)
