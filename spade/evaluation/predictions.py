"""Predictions as evaluation sees them, and the exchange format in which systems hand them over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spade.data.codecs import read_panoptic
from spade.data.psg import Dataset, Record
from spade.errors import SpadeError
from spade.files import canonical_hash, inside, read_json, sha256_file
from spade.scene_graph import Prediction


@dataclass(frozen=True)
class PredictedSegment:
    """A mask: the pixels of ``id`` in panoptic map number ``layer``."""

    layer: int
    id: int
    category: int
    score: float


@dataclass(frozen=True)
class PredictedImage:
    """One image: segments, and rows (subject index, object index) with one score a predicate class.

    ``layers`` (H, W) panoptic id maps; ``pairs`` (R, 2) indices into ``segments``; ``scores`` (R, P).
    """

    image_id: str
    layers: tuple[np.ndarray, ...]
    segments: tuple[PredictedSegment, ...]
    pairs: np.ndarray
    scores: np.ndarray


def from_prediction(image_id: str, prediction: Prediction) -> PredictedImage:
    """A model's own prediction under the data set's vocabulary."""
    segments = tuple(PredictedSegment(0, s.id, s.category_id, s.score) for s in prediction.graph.segments)
    return PredictedImage(image_id, (prediction.graph.panoptic,), segments, prediction.pairs, prediction.scores)


def exchange_row(record: Record, prediction: Prediction, png: str) -> dict[str, Any]:
    """One image of an exchange document; ``png`` is the panoptic map's path relative to it."""
    graph = prediction.graph
    return {
        "image_id": record.image_id,
        "height": graph.height,
        "width": graph.width,
        "pan_seg_file_names": [png],
        "segments_info": [
            {"layer": 0, "id": s.id, "category_id": s.category_id, "isthing": int(s.is_thing), "score": round(s.score, 6)}
            for s in graph.segments
        ],
        "relations": [
            {"subject": int(s), "object": int(o), "scores": [round(float(v), 6) for v in row], "no_relation": round(float(nothing), 6)}
            for (s, o), row, nothing in zip(prediction.pairs, prediction.scores, prediction.no_relation, strict=True)
        ],
    }


class Predictions:
    """An exchange document: one json object with "predictions", pngs in paths relative to it."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path, self.dataset = path, dataset
        document = read_json(path, "prediction file", "write one in the exchange format (docs/formats.md).")
        rows = document.get("predictions") if isinstance(document, Mapping) else None
        if not isinstance(rows, list):
            raise SpadeError(f"{path}: has no list under predictions; write one in the exchange format (docs/formats.md).")
        self._rows: dict[str, Mapping[str, Any]] = {}
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping) or "image_id" not in row:
                raise SpadeError(f"{path}: predictions[{index}] has no image_id; see docs/formats.md.")
            image_id = str(row["image_id"])
            if image_id in self._rows:
                raise SpadeError(f"{path}: image {image_id} occurs twice; keep one prediction an image.")
            self._rows[image_id] = row
        known = {record.image_id for record in dataset.records}
        if self._rows and not known & self._rows.keys():
            raise SpadeError(f"{path}: none of its images is in {dataset.source}; name the data set that it was made for.")

    def fingerprint(self) -> str:
        """Hash of the document and of every png that it names; an absent one counts as nothing."""
        names = sorted({str(name) for row in self._rows.values() for name in _names(row)})
        pngs = []
        for name in names:
            try:
                path = inside(self.path.parent, name, self.path)
                pngs.append([name, sha256_file(path) if path.is_file() else None])
            except SpadeError:  # a name that leads out is never opened; its image is refused when it is read
                pngs.append([name, None])
        return canonical_hash([sha256_file(self.path), pngs])

    def get(self, record: Record) -> PredictedImage | None:
        """The prediction for a record; None if there is none. Raises SpadeError naming image and field."""
        row = self._rows.get(record.image_id)
        if row is None:
            return None
        try:
            return self._read(row, record)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SpadeError(f"{self.path}: image {record.image_id}: {type(error).__name__} {error}; see docs/formats.md.") from None

    def _read(self, row: Mapping[str, Any], record: Record) -> PredictedImage:
        classes, predicates = len(self.dataset.classes), len(self.dataset.predicates)
        layers = tuple(read_panoptic(inside(self.path.parent, str(name), self.path)) for name in row["pan_seg_file_names"])
        for layer in layers:
            if layer.shape != (record.height, record.width):
                raise ValueError(
                    f"pan_seg_file_names: a png is {layer.shape[1]} x {layer.shape[0]}, the picture {record.width} x {record.height}"
                )
        segments = tuple(
            PredictedSegment(int(s["layer"]), int(s["id"]), int(s["category_id"]), float(s["score"])) for s in row["segments_info"]
        )
        for segment in segments:
            if not 0 <= segment.category < classes:
                raise ValueError(f"segments_info: category_id {segment.category} is out of range")
            if not 0 <= segment.layer < len(layers):
                raise ValueError(f"segments_info: layer {segment.layer} is out of range")
            if not math.isfinite(segment.score):
                raise ValueError("segments_info: a score is not finite")
        pairs = _pairs(row["relations"], len(segments))
        for relation in row["relations"]:
            if len(relation["scores"]) != predicates:
                raise ValueError(f"relations: a row has {len(relation['scores'])} scores, the data set {predicates} predicates")
        scores = np.asarray([relation["scores"] for relation in row["relations"]], np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("relations: a score is not finite")
        return PredictedImage(record.image_id, layers, segments, pairs, scores.reshape(len(pairs), predicates))


def _names(row: Mapping[str, Any]) -> Sequence[Any]:
    names = row.get("pan_seg_file_names")
    return names if isinstance(names, list) else []


def _pairs(rows: Sequence[Mapping[str, Any]], count: int) -> np.ndarray:
    pairs = np.asarray([(int(row["subject"]), int(row["object"])) for row in rows], np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= count):
        raise ValueError("relations: a subject or object index is out of range")
    return pairs
