from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from spade.core.errors import SpadeError
from spade.structures.panoptic_png import ids_to_rgb, read_panoptic, rgb_to_ids, spread_id, write_panoptic


def test_red_is_the_low_byte():
    assert rgb_to_ids(np.array([[[1, 2, 3]]], np.uint8)).tolist() == [[1 + 256 * 2 + 65536 * 3]]


@given(arrays(np.uint32, (3, 4), elements=st.integers(0, (1 << 24) - 1)))
def test_round_trip(ids):
    assert np.array_equal(rgb_to_ids(ids_to_rgb(ids)), ids)


def test_round_trip_through_a_png(tmp_path):
    ids = np.random.default_rng(0).integers(0, 1 << 24, (17, 9)).astype(np.uint32)
    write_panoptic(tmp_path / "a.png", ids)
    assert np.array_equal(read_panoptic(tmp_path / "a.png"), ids)


def test_spread_ids_are_unique_and_never_void():
    ids = {spread_id(i) for i in range(5000)}
    assert len(ids) == 5000
    assert 0 not in ids


def test_what_is_no_panoptic_png_is_named(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "grey.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    for name, message in (
        ("grey.png", "holds ids in RGB, this one is L"),
        ("broken.png", "cannot be decoded"),
        ("none.png", "no such"),
    ):
        with pytest.raises(SpadeError, match=message):
            read_panoptic(tmp_path / name)


def test_real_coco_pngs_hold_the_ids_areas_and_boxes_of_their_json(shared):
    folder = shared / "data" / "coco_panoptic_sample"
    document = json.loads((folder / "panoptic.json").read_text())
    for annotation in document["annotations"]:
        ids = read_panoptic(folder / "panoptic" / annotation["file_name"])
        assert set(np.unique(ids)) - {0} == {segment["id"] for segment in annotation["segments_info"]}
        for segment in annotation["segments_info"]:
            ys, xs = np.nonzero(ids == segment["id"])
            x, y, width, height = segment["bbox"]
            assert len(xs) == segment["area"]
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x, y, x + width, y + height)
