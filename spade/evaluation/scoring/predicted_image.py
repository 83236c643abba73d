"""One predicted image as evaluation sees it, whatever file or model it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from spade.data.psg import Record
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.rows import Rows, ranked
from spade.structures.scene_graph import Prediction


@dataclass(frozen=True)
class PredictedImage:
    """One image: N segments and the ranked rows about them.

    ``categories`` (N,) indices into the data set's classes, ``scores`` (N,); ``layers`` the masks, ``boxes`` (N, 4)
    xyxy with x2 and y2 exclusive. Either may be None: predicate classification has no masks, box detectors have none.
    ``proposals`` (Q, h, w) bool: the masks before merging, on any grid over the image, where they are known.
    """

    image_id: str
    categories: np.ndarray
    scores: np.ndarray
    rows: Rows
    layers: Layers | None = None
    boxes: np.ndarray | None = None
    proposals: np.ndarray | None = None


class Predictions(Protocol):
    """A system's predictions on a data set.

    ``problems``: what was passed over when the file was opened leniently, a sentence each.
    """

    path: Path
    problems: list[str]

    def get(self, record: Record) -> PredictedImage | None:
        """The prediction for a record, None if there is none. Raises SpadeError naming image and field."""

    def fingerprint(self) -> str:
        """Hash of all that was handed over."""


def from_prediction(image_id: str, prediction: Prediction) -> PredictedImage:
    """A model's own prediction under the data set's vocabulary."""
    segments = prediction.graph.segments
    scores = np.array([s.score for s in segments], np.float64)
    layers, boxes = None, None
    if (ids := prediction.graph.panoptic) is None:
        boxes = np.array([s.bbox for s in segments], np.float64).reshape(-1, 4)
    else:
        layers = Layers((ids,), np.zeros(len(segments), np.int64), np.array([s.id for s in segments], np.int64))
    categories = np.array([s.category_id for s in segments], np.int64)
    rows = ranked(prediction.pairs, prediction.scores, scores)
    return PredictedImage(image_id, categories, scores, rows, layers, boxes, prediction.proposals)


class ImageError(ValueError):
    """What is wrong with one image's prediction: the field and its value."""
