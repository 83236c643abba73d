"""The product: segments with labels, directed relations, and the panoptic map they refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spade.data.codecs import read_panoptic
from spade.errors import SpadeError
from spade.files import inside, read_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Segment:
    """One mask. ``id`` is its value in the panoptic map; ``bbox`` xyxy in image pixels, x2 and y2 exclusive.

    ``supercategory`` of the label, where whoever found the segment has said one ("animal").
    """

    id: int
    label: str
    category_id: int
    is_thing: bool
    score: float
    bbox: tuple[int, int, int, int]
    area: int
    supercategory: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in a scene graph; the supercategory only where there is one."""
        data = vars(self) | {"score": round(self.score, 6), "bbox": list(self.bbox)}
        return {name: value for name, value in data.items() if value is not None}


@dataclass(frozen=True)
class Relation:
    """``subject`` and ``object`` are segment ids; ``score`` = P(pair) x P(predicate | pair)."""

    subject: int
    object: int
    predicate: str
    score: float


@dataclass(frozen=True)
class SceneGraph:
    """A picture's segments and relations (best first), with its panoptic map (H, W) of ids, 0 = void."""

    file_name: str
    width: int
    height: int
    segments: tuple[Segment, ...]
    relations: tuple[Relation, ...]
    objects: tuple[str, ...]
    predicates: tuple[str, ...]
    panoptic: np.ndarray
    model: dict[str, Any] = field(default_factory=dict)

    def triples(self) -> list[tuple[str, str, str]]:
        """Relations in words."""
        label = {segment.id: segment.label for segment in self.segments}
        return [(label[r.subject], r.predicate, label[r.object]) for r in self.relations]

    def to_json(self, panoptic_name: str) -> dict[str, Any]:
        """The document of scene graph format version 1 (docs/formats.md)."""
        return {
            "version": FORMAT_VERSION,
            "image": {"file_name": self.file_name, "width": self.width, "height": self.height},
            "model": self.model,
            "vocabulary": {"objects": list(self.objects), "predicates": list(self.predicates)},
            "panoptic": panoptic_name,
            "segments": [segment.to_json() for segment in self.segments],
            "relations": [{**vars(r), "score": round(r.score, 6)} for r in self.relations],
        }


@dataclass(frozen=True)
class Prediction:
    """A scene graph with the scores behind it, as evaluation needs them.

    ``pairs`` (R, 2) indices into ``graph.segments``; ``scores`` (R, P): P(pair) x P(predicate | pair);
    ``no_relation`` (R,): 1 - P(pair).
    """

    graph: SceneGraph
    pairs: np.ndarray
    scores: np.ndarray
    no_relation: np.ndarray


def best_relations(
    segments: Sequence[Segment], pairs: np.ndarray, scores: np.ndarray, predicates: Sequence[str], top: int, min_score: float
) -> tuple[Relation, ...]:
    """Each pair's best predicate, of at least ``min_score``; at most ``top``, ranked by its score times both segments' scores.

    pairs (R, 2) indices into the segments; scores (R, P).
    """
    if top < 1:
        raise SpadeError(f"top {top}: use a number of at least 1.")
    if not len(pairs):
        return ()
    best = scores.max(1)
    sure = np.array([segment.score for segment in segments])
    order = np.argsort(-best * sure[pairs].prod(1), kind="stable")
    chosen = [int(row) for row in order if best[row] >= min_score][:top]
    return tuple(
        Relation(segments[pairs[r, 0]].id, segments[pairs[r, 1]].id, predicates[int(scores[r].argmax())], float(best[r])) for r in chosen
    )


def read_scene_graph(path: Path) -> SceneGraph:
    """Read a scene graph json and the panoptic png beside it. Raises SpadeError naming the file and the field."""
    data = read_json(path, "scene graph", "write it with: spade predict")
    try:
        if data["version"] != FORMAT_VERSION:
            raise SpadeError(f"{path}: scene graph version {data['version']!r} is unknown; this spade reads version {FORMAT_VERSION}.")
        image = data["image"]
        segments = tuple(
            Segment(
                _whole(s, "id"),
                text_of(s, "label"),
                _whole(s, "category_id"),
                _flag(s, "is_thing"),
                float(s["score"]),
                _box(s["bbox"]),
                _whole(s, "area"),
                None if s.get("supercategory") is None else text_of(s, "supercategory"),
            )
            for s in data["segments"]
        )
        relations = tuple(
            Relation(_whole(r, "subject"), _whole(r, "object"), text_of(r, "predicate"), float(r["score"])) for r in data["relations"]
        )
        known = {segment.id for segment in segments}
        if len(known) != len(segments):
            raise ValueError("id, which two segments share")
        for relation in relations:
            if not {relation.subject, relation.object} <= known:
                raise SpadeError(f"{path}: a relation names segment {relation.subject} or {relation.object}, which is not in segments.")
        words = data["vocabulary"]
        objects, predicates = _names(words, "objects"), _names(words, "predicates")
        size = (_whole(image, "width"), _whole(image, "height"))
        if min(size) < 1:
            raise ValueError(f"image of {size[0]} x {size[1]}")
        ids = read_panoptic(inside(path.parent, text_of(data, "panoptic"), path), size)
        for segment in segments:
            _check(segment, size)
        return SceneGraph(
            text_of(image, "file_name", blank=True), *size, segments, relations, objects, predicates, ids, dict(data["model"])
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SpadeError(f"{path}: not a scene graph (field {error}); write it with: spade predict") from None


def _check(segment: Segment, size: tuple[int, int]) -> None:
    """Raises ValueError naming the field whose value no segment of a picture of ``size`` (width, height) can have."""
    x1, y1, x2, y2 = segment.bbox
    if not 0 < segment.id < 1 << 24:
        raise ValueError(f"id {segment.id}")
    if segment.category_id < 0:
        raise ValueError(f"category_id {segment.category_id}")
    if not 0 <= segment.score <= 1:
        raise ValueError(f"score {segment.score}")
    if not (0 <= x1 <= x2 <= size[0] and 0 <= y1 <= y2 <= size[1]):
        raise ValueError(f"bbox {list(segment.bbox)}")
    if not 0 <= segment.area <= size[0] * size[1]:
        raise ValueError(f"area {segment.area}")


def text_of(data: Mapping[str, Any], field: str, blank: bool = False) -> str:
    """A field's text. Raises ValueError naming the field where it is none, or blank and may not be."""
    value = data[field]
    if not isinstance(value, str) or not (blank or value.strip()):
        raise ValueError(f"{field} {str(value)[:60]!r}")
    return value


def _whole(data: Mapping[str, Any], field: str) -> int:
    value = data[field]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{field} {str(value)[:60]!r}")
    return value


def _flag(data: Mapping[str, Any], field: str) -> bool:
    value = data[field]
    if not isinstance(value, bool):
        raise ValueError(f"{field} {str(value)[:60]!r}")
    return value


def _names(data: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = data[field]
    if not isinstance(value, list):
        raise ValueError(f"{field} {str(value)[:60]!r}")
    return tuple(text_of({field: name}, field) for name in value)


def _box(values: list[float]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(v) for v in values)
    return x1, y1, x2, y2


def segment_geometry(ids: np.ndarray, identity: int) -> tuple[tuple[int, int, int, int], int]:
    """Box (xyxy, exclusive) and area of one id in a panoptic map; an absent id gives an empty box and area 0."""
    mask = ids == identity
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return (0, 0, 0, 0), 0
    return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1), int(mask.sum())
