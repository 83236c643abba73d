"""What our own files give back as segments: a folder of scene graphs, and COCO with relations."""

from __future__ import annotations

import json

import pytest

from spade.core.errors import SpadeError
from spade.export.coco import coco
from spade.segmentation.given import GivenSegments
from tests.export.graphs import graph

TWO = [graph(("dog", "sky-other-merged"), file_name="a.jpg"), graph(("cat", "road", "cat"), file_name="b.jpg")]


def facts(found):
    return [(s.label, s.is_thing, s.bbox, s.area) for s in found.segments]


def test_a_folder_of_scene_graphs(tmp_path):
    for made in TWO:
        made.save(tmp_path / f"{made.file_name[0]}.json")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    given = GivenSegments(tmp_path)
    for made in TWO:
        found = given.of(f"elsewhere/{made.file_name}", (40, 30))
        assert facts(found) == facts(made)
        assert found.relations == ()
    files = given.files([tmp_path / "b.jpg", tmp_path / "none.jpg"])
    assert files == [tmp_path / "b.json", tmp_path / "b.png"]
    with pytest.raises(SpadeError, match=r"has no segments of none\.jpg"):
        given.of("none.jpg", (40, 30))
    with pytest.raises(SpadeError, match="holds no scene graph"):
        GivenSegments(tmp_path.parent)


def test_coco_with_relations_comes_back(tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco(TWO)))
    given = GivenSegments(path)
    for made in TWO:
        found = given.of(made.file_name, (40, 30))
        assert facts(found) == facts(made)


def test_boxes_alone_are_one_sentence(tmp_path):
    document = coco(TWO)
    document["annotations"][1]["segmentation"] = []
    (tmp_path / "c.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match=r"c\.json: an annotation of image 0 has a box and no mask"):
        GivenSegments(tmp_path / "c.json")


def test_of_overlapping_masks_the_smaller_lies_on_top(tmp_path):
    """Whatever their scores."""
    square = [[0, 0, 8, 0, 8, 6, 0, 6]]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "car"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 4, 1, 4]], "score": 0.2},
            {"image_id": 1, "category_id": 2, "segmentation": square, "score": 0.9},
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(document))
    found = GivenSegments(tmp_path / "c.json").of("a.jpg", (8, 6))
    assert [(s.label, s.area) for s in found.segments] == [("dog", 9), ("car", 39)]
