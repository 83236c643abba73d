"""Scene graphs of any size and labels for the tests of drawings and files."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from spade.structures.scene_graph import Relation, SceneGraph, Segment
from spade.structures.segment_map import measured, numbered


def graph(labels=("dog", "sky"), relations=((0, 1, "under"),), size=(40, 30), file_name="a.png") -> SceneGraph:
    """Segments side by side; relations as (subject, object, predicate) by the segments' places."""
    width, height = size
    ids = np.zeros((height, width), np.uint32)
    segments = []
    for i, label in enumerate(labels):
        ids[:, i * width // len(labels) : (i + 1) * width // len(labels)] = i + 1
        segments.append(Segment(i + 1, label, i, i % 2 == 0, 0.5, (0, 0, 1, 1), 1))
    found = measured(segments, numbered(ids, range(1, len(labels) + 1)))
    scores = (0.9 - 0.01 * n for n in range(90))
    related = tuple(
        Relation(s + 1, o + 1, p, round(score, 2)) for (s, o, p), score in zip(relations, scores, strict=False)
    )
    names = tuple(dict.fromkeys(p for _, _, p in relations))
    return SceneGraph(file_name, width, height, found, related, tuple(labels), names, ids)


def tangled(count=12, size=(640, 480)) -> SceneGraph:
    """Many segments, each related to several others, some pairs in both directions and by two predicates."""
    predicates = cycle(("standing on", "over", "in front of", "beside"))
    pairs = [(i, (i * 5 + 3) % count) for i in range(count)] + [(3, 0), (0, 3), (0, 3)]
    related = [(a, b, next(predicates)) for a, b in pairs if a != b]
    return graph([f"label {i}" for i in range(count)], related[-4:] + related, size)
