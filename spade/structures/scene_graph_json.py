"""Scene graph json, version 1: reading, and what is wrong with a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.errors import SpadeError, reason_of
from spade.core.files import inside, read_json
from spade.core.text import control_in
from spade.structures.panoptic_png import read_panoptic
from spade.structures.scene_graph import FORMAT_VERSION, Relation, SceneGraph, Segment


def read_scene_graph(path: Path, with_map: bool = True) -> SceneGraph:
    """Read a scene graph json and, ``with_map``, the panoptic png beside it. Raises SpadeError naming the file and the
    field.
    """
    return scene_graph_of(read_json(path, "scene graph", "write it with: spade predict"), path, with_map)


def scene_graph_of(data: Any, path: Path, with_map: bool = True) -> SceneGraph:
    """The graph of a document that ``path`` holds, with the panoptic png beside that. Raises SpadeError as above."""
    try:
        if data["version"] != FORMAT_VERSION:
            raise SpadeError(
                f"{path}: scene graph version {data['version']!r} is unknown; "
                f"this spade reads version {FORMAT_VERSION}."
            )
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
                None if s.get("centroid") is None else _point(s["centroid"]),
            )
            for s in data["segments"]
        )
        relations = tuple(
            Relation(_whole(r, "subject"), _whole(r, "object"), text_of(r, "predicate"), float(r["score"]))
            for r in data["relations"]
        )
        known = {segment.id for segment in segments}
        if len(known) != len(segments):
            raise ValueError("id, which two segments share")
        for relation in relations:
            if not {relation.subject, relation.object} <= known:
                raise SpadeError(
                    f"{path}: a relation names segment {relation.subject} or "
                    f"{relation.object}, which is not in segments."
                )
        words = data["vocabulary"]
        objects, predicates = _names(words, "objects"), _names(words, "predicates")
        size = (_whole(image, "width"), _whole(image, "height"))
        if min(size) < 1:
            raise ValueError(f"image of {size[0]} x {size[1]}")
        png = None if data["panoptic"] is None else inside(path.parent, text_of(data, "panoptic"), path)
        ids = read_panoptic(png, size) if png is not None and with_map else None
        for segment in segments:
            _check(segment, size)
        return SceneGraph(
            text_of(image, "file_name", blank=True),
            *size,
            segments,
            relations,
            objects,
            predicates,
            ids,
            dict(data["model"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SpadeError(f"{path}: not a scene graph ({reason_of(error)}); write it with: spade predict") from None


def is_map_of(path: Path, png: Path) -> bool:
    """Whether a file is the panoptic map that a scene graph json names: by its name, and by the segments in it."""
    document = graph_document(path)
    if document is None or document.get("panoptic") != png.name:
        return False
    try:
        graph = scene_graph_of(document, path)
    except SpadeError:
        return False
    known = {segment.id for segment in graph.segments}
    return {int(identity) for identity in np.unique(graph.ids)} - {0} <= known


def is_drawing_of_graph(path: Path) -> bool:
    """Whether a file is the map, or the figure, of the scene graph that lies beside it under the same name."""
    if path.suffix.lower() != ".png":
        return False
    if path.name.lower().endswith(".figure.png"):
        return graph_document(path.with_name(path.name[: -len(".figure.png")] + ".json")) is not None
    return is_map_of(path.with_suffix(".json"), path)


def graph_document(path: Path) -> dict[str, Any] | None:
    """The document of what looks like a scene graph file; None where there is none."""
    if not path.is_file():
        return None
    try:
        document = read_json(path, "scene graph", "")
    except SpadeError:
        return None
    is_graph = isinstance(document, dict) and {"image", "segments", "relations"} <= document.keys()
    return document if is_graph and isinstance(document["image"], dict) else None


def _check(segment: Segment, size: tuple[int, int]) -> None:
    """Raises ValueError naming the field whose value no segment of an image of ``size`` (width, height) can have."""
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
    if (character := control_in(value)) is not None:
        raise ValueError(f"{field} {value[:60]!a} holds the control character {character!a}")
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


def _point(values: list[float]) -> tuple[float, float]:
    x, y = (float(v) for v in values)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"centroid {values}")
    return x, y


def _box(values: list[float]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(v) for v in values)
    return x1, y1, x2, y2
