from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import spade
from spade.core.errors import SpadeError
from spade.export.graph_files import FORMATS
from tests.export.graphs import graph

MADE = graph(("dog", "sky-other-merged", "dog"), ((0, 1, "under"), (2, 0, "near")))


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("g.html", b"<!doctype html>"),
        ("g.svg", b"<svg"),
        ("g.figure.png", b"\x89PNG"),
        ("g.graphml", b"<?xml"),
        ("g.gexf", b"<?xml"),
        ("g.dot", b"digraph"),
        ("g.GV", b"digraph"),
        ("g.cypher", b"CREATE"),
    ],
)
def test_the_suffix_says_the_format(tmp_path, name, begins):
    assert MADE.save(tmp_path / name) == tmp_path / name
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "format"), [("g.json", "node-link"), ("g.json", "coco"), ("g.gv", "dot")])
def test_formats_by_name(tmp_path, name, format):
    MADE.save(tmp_path / name, format=format)
    assert (tmp_path / name).read_bytes() == next(iter(FORMATS[format].write([MADE], False).values()))


def test_csv_is_a_folder(tmp_path):
    MADE.save(tmp_path / "tables", format="csv")
    assert {p.name for p in (tmp_path / "tables").iterdir()} == {"nodes.csv", "edges.csv"}


@pytest.mark.parametrize("name", ["g.png", "g.txt", "g", ".json"])
def test_other_suffixes_are_one_sentence(tmp_path, name):
    with pytest.raises(SpadeError, match=r"suffix says no format|may be the figure or the map"):
        MADE.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_suffix_may_not_contradict_the_format(tmp_path):
    with pytest.raises(SpadeError, match=r"`format=coco` is written as \.json"):
        MADE.save(tmp_path / "g.gexf", format="coco")


def test_a_saved_graph_opens_equal(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    MADE.save(tmp_path / "g.json")
    back = spade.SceneGraph.open(tmp_path / "g.json")
    assert back == MADE
    assert back is not MADE
    assert back.image is not None
    assert back.image.getpixel((3, 3)) == (255, 0, 0)
    MADE.save(tmp_path / "g.json")  # over its own files
    boxes = replace(MADE, panoptic=None)
    boxes.save(tmp_path / "boxes.json")
    assert spade.SceneGraph.open(tmp_path / "boxes.json") == boxes != MADE


def test_a_graph_may_not_replace_the_photograph(tmp_path):
    photo = tmp_path / "dog.png"
    Image.new("RGB", (40, 30), "red").save(photo)
    before = photo.read_bytes()
    with pytest.raises(SpadeError, match=r"dog\.png: is there and is no map of dog\.json"):
        MADE.save(tmp_path / "dog.json")
    assert photo.read_bytes() == before
    assert not (tmp_path / "dog.json").exists()


def test_a_photograph_in_the_place_of_an_earlier_map_stays(tmp_path):
    MADE.save(tmp_path / "dog.json")
    Image.effect_noise((40, 30), 80).convert("RGB").save(tmp_path / "dog.png")
    before = (tmp_path / "dog.png").read_bytes()
    with pytest.raises(SpadeError, match=r"dog\.png: is there and is no map of dog\.json"):
        MADE.save(tmp_path / "dog.json")
    assert (tmp_path / "dog.png").read_bytes() == before


def test_arguments_of_drawing_and_saving_are_checked():
    with pytest.raises(SpadeError, match="int is no image"):
        MADE.plot(5)
    with pytest.raises(SpadeError, match="image: is 7 x 7, the graph's 40 x 30"):
        MADE.plot(Image.new("RGB", (7, 7)))
    with pytest.raises(SpadeError, match="path: NoneType is none"):
        MADE.save(None)


def test_a_graph_as_an_object():
    assert len(MADE) == 2
    assert str(MADE) == "dog 1 under sky\ndog 2 near dog 1"
    assert bool(graph((), ()))
    assert str(graph(("dog",), ())) == "no relation between 1 segments"
    assert graph(("dog", "sky-other-merged", "dog"), ((0, 1, "under"), (2, 0, "near"))) == MADE
    assert hash(MADE) == hash(replace(MADE))
    assert replace(MADE, panoptic=np.zeros_like(MADE.ids)) != MADE
    assert replace(MADE, relations=MADE.relations[:1]) != MADE
    assert (MADE == 3) is False
    assert MADE.to_rows()[1] == {
        "image": "a.png", "subject": "dog", "predicate": "near", "object": "dog", "score": 0.89,
        "subject_id": 3, "object_id": 1,
    }  # fmt: skip
    frame = MADE.to_dataframe()
    assert list(frame["predicate"]) == ["under", "near"]
    assert list(graph((), ()).to_dataframe().columns) == list(frame.columns)
    assert MADE.to_networkx().number_of_edges() == 2
    assert MADE.plot().size == MADE.plot(Image.new("RGB", (40, 30))).size
    with pytest.raises(SpadeError, match=r"a\.png: this graph has boxes and no panoptic map"):
        _ = replace(MADE, panoptic=None).ids


def test_a_package_that_is_missing_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(SpadeError, match="to_dataframe: needs pandas, which is not installed; install it: pip install"):
        MADE.to_dataframe()


def test_supervision_and_back():
    detections = MADE.to_supervision()
    assert detections.mask.shape == (3, 30, 40)
    assert list(detections.data["class_name"]) == ["dog", "sky-other-merged", "dog"]
    assert np.array_equal(detections.mask[0], MADE.ids == 1)
    back = spade.SceneGraph.from_supervision(detections)
    assert [s.label for s in back.segments] == [s.label for s in MADE.segments]
    assert [s.bbox for s in back.segments] == [s.bbox for s in MADE.segments]
    assert [s.is_thing for s in back.segments] == [True, False, True]
    boxes = replace(MADE, panoptic=None).to_supervision()
    assert boxes.mask is None
    assert [s.bbox for s in spade.SceneGraph.from_supervision(boxes, Image.new("RGB", (40, 30))).segments] == [
        s.bbox for s in MADE.segments
    ]
