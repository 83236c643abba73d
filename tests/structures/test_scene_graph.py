from __future__ import annotations

import json

import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.core.files import write_json
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph import Relation, SceneGraph, Segment
from spade.structures.scene_graph_json import read_scene_graph


@pytest.fixture
def graph():
    ids = np.zeros((4, 6), np.uint32)
    ids[1:3, 2:5] = 70_000
    ids[3] = 9
    segments = (
        Segment(70_000, "dog", 1, True, 0.9, (2, 1, 5, 3), 6),
        Segment(9, "grass-merged", 0, False, 0.8, (0, 3, 6, 4), 6),
    )
    return SceneGraph(
        "a.jpg", 6, 4, segments, (Relation(70_000, 9, "lying on", 0.5),), ("grass-merged", "dog"), ("lying on",), ids
    )


def test_round_trip_through_disk(graph, tmp_path):
    write_panoptic(tmp_path / "a.png", graph.panoptic)
    write_json(tmp_path / "a.json", graph.to_json("a.png"))
    back = read_scene_graph(tmp_path / "a.json")
    assert back.segments == graph.segments
    assert back.relations == graph.relations
    assert back.triples() == [("dog", "lying on", "grass-merged")]
    assert np.array_equal(back.panoptic, graph.panoptic)
    assert back.to_json("a.png") == graph.to_json("a.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2 is unknown"),
        ({"panoptic": "../a.png"}, "leaves its folder"),
        ({"relations": [{"subject": 1, "object": 9, "predicate": "x", "score": 1}]}, "names segment 1 or 9"),
        ({"segments": 3}, "not a scene graph"),
        ({"image": {"file_name": "a", "width": 5, "height": 4}}, "this panoptic png is 6 x 4, its image 5 x 4"),
        ({"segments": [{"id": 5, "label": None}]}, "label 'None'"),
        ({"segments": [{"id": 5, "label": "d\x1bog"}]}, r"label 'd\\x1bog' holds the control character '\\x1b'"),
        ({"segments": None}, "a field is of another type than it should be"),
        ({"segments": [{"id": 5, "label": "\ud800"}]}, r"holds the control character '\\ud800'"),
        ({"relations": [{"subject": 9, "object": 9, "predicate": "o\0n", "score": 1}]}, "holds the control character"),
        ({"vocabulary": {"objects": ["dog", None], "predicates": []}}, "objects 'None'"),
    ],
)
def test_bad_graphs_are_one_sentence(graph, tmp_path, change, message):
    write_panoptic(tmp_path / "a.png", graph.panoptic)
    (tmp_path / "a.json").write_text(json.dumps(graph.to_json("a.png") | change))
    with pytest.raises(SpadeError, match=message):
        read_scene_graph(tmp_path / "a.json")
