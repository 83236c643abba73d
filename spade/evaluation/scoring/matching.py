"""Which predicted segments stand for which true ones: the three ways in which evaluators match."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def match_any(iou: np.ndarray, same_class: np.ndarray) -> np.ndarray:
    """(N, M) bool: every pair of one class with IoU >= 0.5 (OpenPSG, Visual Genome); no assignment."""
    return (iou >= 0.5) & same_class


def match_best(iou: np.ndarray, same_class: np.ndarray) -> np.ndarray:
    """(N, M) bool: each predicted segment with the true one of its class that it overlaps most, at IoU >= 0.5
    (sgbench).

    The first of several equals; several predicted segments may stand for one true segment.
    """
    matched = np.zeros(iou.shape, bool)
    if iou.size:
        of_class = np.where(same_class, iou, 0.0)
        best = of_class.argmax(1)
        rows = np.flatnonzero(of_class[np.arange(len(best)), best] >= 0.5)
        matched[rows, best[rows]] = True
    return matched


def match_one_to_one(iou: np.ndarray, same_class: np.ndarray) -> np.ndarray:
    """(N, M) bool: as ``match_best`` above IoU 0.5, and each true segment keeps its best one only (fair-psgg)."""
    matched = np.zeros(iou.shape, bool)
    if iou.size:
        of_class = np.where(same_class & (iou > 0.5), iou, 0.0)
        best = of_class.argmax(1)
        value = of_class[np.arange(len(best)), best]
        for true in np.unique(best[value > 0]):
            rows = np.flatnonzero((best == true) & (value > 0))
            matched[rows[value[rows].argmax()], true] = True
    return matched


MATCHINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "any": match_any,
    "best": match_best,
    "one to one": match_one_to_one,
}


def box_iou(predicted: np.ndarray, true: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """(N, M) IoU of boxes xyxy; ``plus_one``: as Visual Genome's evaluators have it, width = x2 - x1 + 1. Boxes without
    area share nothing.
    """
    one = float(plus_one)
    low = np.maximum(predicted[:, None, :2], true[None, :, :2])
    high = np.minimum(predicted[:, None, 2:], true[None, :, 2:])
    joint = np.clip(high - low + one, 0, None).prod(-1)
    area = [(boxes[:, 2:] - boxes[:, :2] + one).prod(-1) for boxes in (predicted, true)]
    either = area[0][:, None] + area[1][None] - joint
    return np.divide(joint, either, out=np.zeros_like(joint), where=either > 0)
