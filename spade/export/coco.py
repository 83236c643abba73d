"""Scene graphs as COCO instances with relations, as the data sets of SGG-Benchmark have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from spade.structures.scene_graph import SceneGraph, Segment


def coco(graphs: Iterable[SceneGraph]) -> dict[str, Any]:
    """One document for all graphs, which are asked for one by one: ``images``, ``categories``, ``annotations`` with
    boxes xywh and run-length masks, ``rel_categories`` and ``rel_annotations``, whose subject_id and object_id are ids
    of annotations.

    Numbers of categories and predicates are from 0, in the order of the graphs' vocabularies. A segment of a graph
    without a map has an empty ``segmentation``.
    """
    kinds: dict[str, Segment] = {}
    objects: dict[str, int] = {}
    predicates: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    for number, graph in enumerate(graphs):
        for name in (*graph.objects, *(segment.label for segment in graph.segments)):
            objects.setdefault(name, len(objects))
        for name in (*graph.predicates, *(relation.predicate for relation in graph.relations)):
            predicates.setdefault(name, len(predicates))
        images.append({"id": number, "file_name": graph.file_name, "width": graph.width, "height": graph.height})
        place = {segment.id: len(annotations) + at for at, segment in enumerate(graph.segments)}
        masks = _run_lengths(graph)
        for segment in graph.segments:
            kinds.setdefault(segment.label, segment)
            row = _annotation(segment, place[segment.id], number, objects[segment.label])
            annotations.append(row | {"segmentation": masks.get(segment.id, [])})
        for relation in graph.relations:
            relations.append(
                {
                    "id": len(relations),
                    "image_id": number,
                    "subject_id": place[relation.subject],
                    "object_id": place[relation.object],
                    "predicate_id": predicates[relation.predicate],
                    "score": round(relation.score, 6),
                }
            )
    return {
        "images": images,
        "categories": [_category(number, name, kinds.get(name)) for name, number in objects.items()],
        "annotations": annotations,
        "rel_categories": [{"id": number, "name": name} for name, number in predicates.items()],
        "rel_annotations": relations,
    }


def _category(number: int, name: str, example: Segment | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": number, "name": name, "supercategory": "none"}
    if example is not None:
        facts |= {"supercategory": example.supercategory or "none", "isthing": int(example.is_thing)}
    return facts


def _annotation(segment: Segment, identity: int, image: int, category: int) -> dict[str, Any]:
    x1, y1, x2, y2 = segment.bbox
    return {
        "id": identity,
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": segment.area,
        "iscrowd": 0,
        "isthing": int(segment.is_thing),
        "score": round(segment.score, 6),
    }


def _run_lengths(graph: SceneGraph) -> dict[int, dict[str, Any]]:
    """Compressed run lengths of each segment id, from one pass down the map's columns; pycocotools compresses them."""
    if graph.panoptic is None:
        return {}
    from pycocotools import mask as masks

    flat = graph.panoptic.T.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends, values = np.append(starts[1:], len(flat)), flat[starts]
    order = np.argsort(values, kind="stable")
    bounds = np.searchsorted(values[order], [segment.id for segment in graph.segments], "left")
    found = {}
    for segment, low in zip(graph.segments, bounds.tolist(), strict=True):
        high = int(np.searchsorted(values[order], segment.id, "right"))
        runs = order[low:high]
        # Where 0 and 1 take turns, 0 first: up to each run's start, up to its end, ..., up to the image's end.
        edges = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        counts = np.diff(np.concatenate([[0], edges, [len(flat)]]))
        size = [graph.height, graph.width]
        code = masks.frPyObjects({"size": size, "counts": counts.tolist()}, *size)
        found[segment.id] = {"size": size, "counts": code["counts"].decode("ascii")}
    return found
