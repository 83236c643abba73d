"""Segments as supervision's detections."""

from __future__ import annotations

from typing import Any

import numpy as np

from spade.core.optional import optional
from spade.structures.scene_graph import SceneGraph


def to_supervision(graph: SceneGraph) -> Any:
    """``supervision.Detections`` of the segments: boxes xyxy, masks (N, H, W) bool where there is a map, class_id as in
    the graph's vocabulary, confidence, and class_name and segment_id in ``data``.
    """
    supervision = optional("supervision", "to_supervision")
    count = len(graph.segments)
    masks = None
    if graph.panoptic is not None:
        masks = np.zeros((count, graph.height, graph.width), bool)
        for number, segment in enumerate(graph.segments):
            masks[number] = graph.panoptic == segment.id
    return supervision.Detections(
        xyxy=np.array([segment.bbox for segment in graph.segments], np.float32).reshape(count, 4),
        mask=masks,
        class_id=np.array([segment.category_id for segment in graph.segments], int),
        confidence=np.array([segment.score for segment in graph.segments], np.float32),
        data={
            "class_name": np.array([segment.label for segment in graph.segments], str),
            "segment_id": np.array([segment.id for segment in graph.segments], int),
        },
    )
