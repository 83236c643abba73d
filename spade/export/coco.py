"""Scene graphs as COCO instances with relations, as the data sets of SGG-Benchmark have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spade.structures.scene_graph import SceneGraph, Segment


def coco(graphs: Sequence[SceneGraph]) -> dict[str, Any]:
    """One document for all graphs: ``images``, ``categories``, ``annotations`` with boxes xywh and run-length masks,
    ``rel_categories`` and ``rel_annotations``, whose subject_id and object_id are ids of annotations.

    Numbers of categories and predicates are from 0, in the order of the graphs' vocabularies. A segment of a graph
    without a map has an empty ``segmentation``.
    """
    kinds: dict[str, Segment] = {}
    objects: dict[str, int] = {}
    predicates: dict[str, int] = {}
    for graph in graphs:
        for name in (*graph.objects, *(segment.label for segment in graph.segments)):
            objects.setdefault(name, len(objects))
        for name in (*graph.predicates, *(relation.predicate for relation in graph.relations)):
            predicates.setdefault(name, len(predicates))
        for segment in graph.segments:
            kinds.setdefault(segment.label, segment)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    for number, graph in enumerate(graphs):
        images.append({"id": number, "file_name": graph.file_name, "width": graph.width, "height": graph.height})
        place = {segment.id: len(annotations) + at for at, segment in enumerate(graph.segments)}
        for segment in graph.segments:
            annotations.append(_annotation(graph, segment, place[segment.id], number, objects[segment.label]))
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


def _annotation(graph: SceneGraph, segment: Segment, identity: int, image: int, category: int) -> dict[str, Any]:
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
        "segmentation": [] if graph.panoptic is None else _run_lengths(graph.panoptic == segment.id),
    }


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as masks

    code = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}
