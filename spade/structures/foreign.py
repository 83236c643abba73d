"""Segments of other systems' results as a graph without relations: masks, supervision's detections, and what the
image-segmentation pipeline of transformers gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from spade.core.errors import SpadeError
from spade.structures.panoptic_png import spread_id
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.segment_map import measured
from spade.structures.vocabulary import named_label


def graph_of_masks(
    masks: Any,
    labels: Sequence[str],
    scores: Sequence[float] | None = None,
    image: Image | None = None,
    file_name: str = "",
) -> SceneGraph:
    """Segments of masks (N, H, W) bool or 0 and 1, as an array or a list of arrays, with a label and a score in [0, 1]
    each.

    Where masks overlap, the smaller lies on top; one that has no pixel left is left out. Raises SpadeError for masks,
    labels or scores that do not fit together.
    """
    arrays = [_mask(mask) for mask in masks]
    if len(arrays) != len(labels):
        raise SpadeError(f"masks: there are {len(arrays)} of them and {len(labels)} labels; give each mask a label.")
    if not arrays and image is None:
        raise SpadeError("masks: there is none, so that the size of the image is not known; give the image as well.")
    size = (image.height, image.width) if image is not None else arrays[0].shape
    for number, mask in enumerate(arrays):
        if mask.shape != size:
            sizes = f"is {mask.shape[1]} x {mask.shape[0]}, the image {size[1]} x {size[0]}"
            raise SpadeError(f"masks: number {number} {sizes}; give all masks at the image's size.")
    numbers = np.zeros(size, np.int64)
    for place in sorted(range(len(arrays)), key=lambda n: -int(arrays[n].sum())):
        numbers[arrays[place]] = place + 1
    return _graph(numbers, size, labels, scores, image, file_name)


def graph_of_results(
    results: Sequence[Mapping[str, Any]], image: Image | None = None, file_name: str = ""
) -> SceneGraph:
    """Segments of transformers' image-segmentation pipeline: a list of {"label", "score", "mask"}, each mask an image
    of mode L with 255 where the segment is; a score of None counts as 1.
    """
    if not isinstance(results, (list, tuple)) or not all(isinstance(result, Mapping) for result in results):
        raise SpadeError(
            f"results: {type(results).__name__} is no list of dicts with label, score and mask, as the "
            "image-segmentation pipeline returns it."
        )
    try:
        masks = [np.asarray(result["mask"]) > 127 for result in results]
        labels = [result["label"] for result in results]
        scores = [1.0 if result["score"] is None else result["score"] for result in results]
    except (KeyError, TypeError) as error:
        raise SpadeError(
            f"results: {error} is missing; give a list of dicts with label, score and mask, as the image-segmentation "
            "pipeline returns it."
        ) from None
    return graph_of_masks(masks, labels, scores, image, file_name)


def graph_of_detections(detections: Any, image: Image | None = None, file_name: str = "") -> SceneGraph:
    """Segments of ``supervision.Detections`` with class names in ``data["class_name"]``; its boxes where it has no
    masks, which then needs the image for its size.
    """
    names = getattr(detections, "data", {}).get("class_name")
    if names is None:
        raise SpadeError('detections: have no class names; put them into detections.data["class_name"].')
    labels = [str(name) for name in names]
    confidence = detections.confidence
    scores = [1.0] * len(labels) if confidence is None else [float(value) for value in confidence]
    if detections.mask is not None:
        return graph_of_masks(np.asarray(detections.mask), labels, scores, image, file_name)
    if image is None:
        raise SpadeError("detections: have boxes and no masks; give the image as well, for its size.")
    low, high = np.zeros(4), np.array([image.width, image.height] * 2)
    boxes = np.clip(np.rint(np.asarray(detections.xyxy, float).reshape(-1, 4)), low, high).astype(int)
    kept = [n for n, (x1, y1, x2, y2) in enumerate(boxes.tolist()) if x1 < x2 and y1 < y2]
    segments, objects = _segments([labels[n] for n in kept], [scores[n] for n in kept])
    placed = []
    for segment, (x1, y1, x2, y2) in zip(segments, boxes[kept].tolist(), strict=True):
        middle = ((x1 + x2) / 2, (y1 + y2) / 2)
        placed.append(
            Segment(
                segment.id, segment.label, segment.category_id, segment.is_thing, segment.score, (x1, y1, x2, y2),
                (x2 - x1) * (y2 - y1), None, middle,
            )
        )  # fmt: skip
    return SceneGraph(file_name, image.width, image.height, tuple(placed), (), objects, (), None, image=image)


def _mask(mask: Any) -> np.ndarray:
    array = np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)
    if array.ndim != 2 or not (array.dtype == bool or np.isin(array, (0, 1)).all()):
        raise SpadeError(
            f"masks: one has shape {array.shape} and type {array.dtype}; give (H, W) of bool, or of 0 and 1."
        )
    return array.astype(bool)


def _segments(labels: Sequence[str], scores: Sequence[float] | None) -> tuple[list[Segment], tuple[str, ...]]:
    """Segments without a place, and their different names."""
    chosen = [1.0] * len(labels) if scores is None else [float(score) for score in scores]
    if len(chosen) != len(labels):
        raise SpadeError(f"scores: there are {len(chosen)} of them and {len(labels)} labels; give each a score.")
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise SpadeError(f"labels: {label!r} is no name; give a text for each mask.")
    for score in chosen:
        if not 0 <= score <= 1:
            raise SpadeError(f"scores: {score} is no probability; give numbers from 0 to 1.")
    objects = tuple(dict.fromkeys(labels))
    place = {name: number for number, name in enumerate(objects)}
    return [
        Segment(spread_id(n), label, place[label], named_label(label).is_thing, score, (0, 0, 0, 0), 0)
        for n, (label, score) in enumerate(zip(labels, chosen, strict=True))
    ], objects


def _graph(
    numbers: np.ndarray,
    size: tuple[int, int],
    labels: Sequence[str],
    scores: Sequence[float] | None,
    image: Image | None,
    file_name: str,
) -> SceneGraph:
    segments, objects = _segments(labels, scores)
    found = tuple(segment for segment in measured(segments, numbers) if segment.area)
    ids = np.array([0, *(segment.id for segment in segments)], np.uint32)[numbers]
    return SceneGraph(file_name, size[1], size[0], found, (), objects, (), ids, image=image)
