from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.example_photos import SEGMENTS, TRACED, example_photos, write_examples
from spade.segmentation.given import GivenSegments
from spade.steps import example
from spade.steps.common import Run
from spade.structures.panoptic_png import read_panoptic
from spade.structures.vocabulary import psg_lists


def test_every_layer_is_a_name_of_psg_inside_its_photograph():
    lists = psg_lists()
    for photo in example_photos():
        assert Image.open(photo.source).size == photo.size
        for name, corners in photo.layers:
            assert name in lists["thing_classes"] + lists["stuff_classes"]
            points = np.array(corners).reshape(-1, 2)
            assert (points >= 0).all()
            assert (points <= photo.size).all()
        ids, segments = photo.segments()
        assert (ids > 0).all(), "every pixel is somebody's"
        assert all(segment.area >= 12 for segment in segments)
        assert [s.is_thing for s in segments] == sorted((s.is_thing for s in segments), reverse=True)


def test_they_are_written_and_can_be_related(tmp_path):
    names = write_examples(tmp_path / "photos")
    assert names == ["portrait.jpg", "temple.jpg"]
    document = json.loads((tmp_path / "photos" / SEGMENTS).read_text())
    assert TRACED in document["info"]["description"]
    assert "CC BY 2.0" in (tmp_path / "photos" / "CREDITS.txt").read_text()
    given = GivenSegments(tmp_path / "photos" / SEGMENTS)
    for photo in example_photos():
        graph, (ids, segments) = given.of(photo.file, photo.size), photo.segments()
        assert [(s.label, s.bbox, s.area, s.is_thing) for s in graph.segments] == [
            (s.label, s.bbox, s.area, s.is_thing) for s in segments
        ]
        stem = photo.file.removesuffix(".jpg")
        assert np.array_equal(read_panoptic(tmp_path / "photos" / "segments" / f"{stem}.png"), ids)
    write_examples(tmp_path / "photos")  # over its own files


def test_nothing_of_others_is_replaced(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "temple.jpg")
    with pytest.raises(SpadeError, match=r"temple\.jpg: is there and is another image"):
        write_examples(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"temple.jpg"}
    (tmp_path / "file").write_text("")
    with pytest.raises(SpadeError, match="is a file; name a folder"):
        write_examples(tmp_path / "file")


def test_without_scikit_learn_there_is_the_portrait(tmp_path, monkeypatch):
    from spade.data import example_photos as module

    real = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "sklearn" else real(name))
    module.example_photos.cache_clear()
    done = example.run(tmp_path / "x", Run(Workspace(tmp_path / "w")))
    module.example_photos.cache_clear()
    assert [path.rsplit("/")[-1] for path in done.result.photos] == ["portrait.jpg"]
    assert not (tmp_path / "w").exists()
