"""All overlaps of an image's masks from one joint histogram of its id maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spade.evaluation.predictions import PredictedImage


@dataclass(frozen=True)
class Overlaps:
    """Pixel counts: ``joint`` (N_pred, N_true), areas, and ``void`` (N_pred,) pixels on unlabelled ground truth."""

    joint: np.ndarray
    predicted_area: np.ndarray
    true_area: np.ndarray
    void: np.ndarray

    def iou(self) -> np.ndarray:
        """(N_pred, N_true) with void counted as background, as the scene graph evaluators do."""
        union = self.predicted_area[:, None] + self.true_area[None] - self.joint
        return self.joint / np.maximum(union, 1)


def overlaps(predicted: PredictedImage, true_ids: np.ndarray, true_segments: Sequence[int]) -> Overlaps:
    """Overlaps of every predicted segment with every true one (their ids, in order)."""
    joint = np.zeros((len(predicted.segments), len(true_segments)), np.int64)
    area = np.zeros(len(predicted.segments), np.int64)
    void = np.zeros(len(predicted.segments), np.int64)
    true_number = _numbers(true_ids, true_segments)
    columns = len(true_segments) + 1
    true_area = np.bincount(true_number.ravel(), minlength=columns)[1:]
    for layer, ids in enumerate(predicted.layers):
        members = [i for i, segment in enumerate(predicted.segments) if segment.layer == layer]
        number = _numbers(ids, [predicted.segments[i].id for i in members])
        table = np.bincount((number * columns + true_number).ravel(), minlength=(len(members) + 1) * columns).reshape(-1, columns)
        joint[members], void[members], area[members] = table[1:, 1:], table[1:, 0], table[1:].sum(1)
    return Overlaps(joint, area, true_area, void)


def _numbers(ids: np.ndarray, segments: Sequence[int]) -> np.ndarray:
    """Map of ids to 1 + their place in ``segments``; 0 for any other id."""
    keys = np.asarray(segments, np.int64)
    order = np.argsort(keys, kind="stable")
    if not len(keys):
        return np.zeros(ids.shape, np.int64)
    wide = ids.astype(np.int64)
    place = np.minimum(np.searchsorted(keys[order], wide), len(keys) - 1)
    return np.where(keys[order][place] == wide, order[place] + 1, 0)
