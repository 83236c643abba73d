"""A model of labels and boxes is shared by threads, too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import spade
from spade.structures.scene_graph import SceneGraph, Segment


def graph(*labels):
    """Segments side by side, by their labels."""
    width = 20 * len(labels)
    ids = np.repeat(np.arange(1, len(labels) + 1, dtype=np.uint32), 20)[None].repeat(30, 0)
    segments = tuple(
        Segment(i + 1, label, i, True, 1.0, (20 * i, 0, 20 * i + 20, 30), 600) for i, label in enumerate(labels)
    )
    return SceneGraph("x.jpg", width, 30, segments, (), tuple(labels), (), ids)


def test_each_thread_gets_what_it_gets_alone():
    relate = spade.load_relation_predictor()
    graphs = [graph("person", "horse"), graph("person", "bench", "dog", "car"), graph("cat", "couch", "toaster oven")]
    alone = [relate(own).relations for own in graphs]
    assert all(alone)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda n: (n, relate(graphs[n]).relations), [0, 1, 2] * 6))
    assert all(relations == alone[number] for number, relations in together)
