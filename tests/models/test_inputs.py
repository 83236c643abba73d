"""What a predictor takes for an image, and what it says of everything else."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import spade
from spade.core.errors import SpadeError


@pytest.fixture(scope="module")
def photo(world):
    return Image.open(world / "images" / "000004.png").convert("RGB")


def test_every_kind_of_image_gives_one_graph(model, photo, world, tmp_path):
    pixels = np.asarray(photo)
    chw = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    path = tmp_path / "a.png"
    photo.save(path)
    alone = model(photo)
    for source in (pixels, chw, chw.float() / 255, path.read_bytes(), io.BytesIO(path.read_bytes())):
        assert model(source) == alone
    with open(path, "rb") as file:
        assert model(file) == alone
    named = model(str(path))
    assert named.file_name == "a.png"
    assert named.segments == alone.segments
    assert named.image.size == photo.size


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "NoneType is no image; give a path, a PIL image"),
        (7, "int is no image"),
        ({}, "dict is no image"),
        (b"", "bytes: is an empty file, and no image"),
        (np.zeros((0, 0, 3), np.uint8), r"an array of shape \(0, 0, 3\)"),
        (np.zeros((4, 4), np.uint8), r"an array of shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "type float32 is no image"),
        (torch.zeros(4, 4, 3), r"a tensor of shape \(4, 4, 3\) and type float32"),
        (torch.full((3, 4, 4), 2.0), "with values from 2 to 2 is no image"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "a tensor of type int64"),
        ("nowhere.png", r"nowhere\.png: no such image"),
        ("a\0b.png", "cannot be read"),
    ],
)
def test_anything_else_is_one_sentence(model, source, message):
    with pytest.raises(SpadeError, match=message):
        model(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 2.5}, "`top=2.5`: use a whole number of at least 1"),
        ({"top": 0}, "`top=0`: use a whole number"),
        ({"top": True}, "`top=True`: use a whole number"),
        ({"min_score": 1.5}, r"`min_score=1\.5`: use a probability"),
        ({"min_score": "high"}, "`min_score=high`: use a probability"),
        ({"vocabulary": [1, 2]}, "1 is no label"),
        ({"vocabulary": {0: "dog"}}, "dict is no list of labels"),
        ({"vocabulary": []}, "holds no label"),
        ({"vocabulary": "nowhere.txt"}, r"nowhere\.txt: no such vocabulary file"),
        ({"errors": "ignore"}, "`errors=ignore`"),
    ],
)
def test_arguments_are_checked_as_the_command_checks_them(model, photo, options, message):
    with pytest.raises(SpadeError, match=message):
        model(photo, **options)


def test_relations_are_of_scene_graphs_alone(photo):
    relate = spade.load_relation_predictor()
    for source in (photo, None, "photo.jpg"):
        with pytest.raises(SpadeError, match="is no scene graph; make one of masks and labels with"):
            relate(source)


def test_several_images_come_one_by_one(model, photo, tmp_path):
    """Nothing is read before its turn."""
    for name in ("a", "b"):
        photo.save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no image")
    graphs = model([tmp_path, photo, str(tmp_path / "*.png")])
    assert next(graphs).file_name == "a.png"
    (tmp_path / "b.png").unlink()
    with pytest.raises(SpadeError, match=r"b\.png: no such image"):
        next(graphs)
    assert [graph.file_name for graph in model(str(tmp_path))] == ["a.png"]
    assert len(list(model(iter([photo, photo])))) == 2
