"""COCO's run-length masks: a reference decoder, and files that would make pycocotools read what is not there."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from spade.core.errors import SpadeError
from spade.segmentation.given import GivenSegments
from spade.structures.run_lengths import CodedMask, paint


def coded(mask):
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def runs(mask):
    """Run lengths column by column, as COCO writes them uncompressed; by hand."""
    flat, out, value = mask.ravel(order="F"), [0], False
    for cell in flat:
        if cell == value:
            out[-1] += 1
        else:
            out.append(1)
            value = cell
    return {"size": list(mask.shape), "counts": out}


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_what_is_encoded_is_painted(mask):
    size = mask.shape[::-1]
    for segmentation in (coded(mask), runs(mask)):
        assert (paint([CodedMask(segmentation)], size) == mask).all()


def test_a_polygon_covers_what_it_encloses():
    numbers = paint([CodedMask([[2, 1, 6, 1, 6, 4, 2, 4]])], (8, 6))
    expected = np.zeros((6, 8), int)
    expected[1:4, 2:6] = 1
    assert (numbers == expected).all()
    far = paint([CodedMask([[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]])], (8, 6))
    assert (far == 1).all(), "corners are moved into the image"


def test_the_smaller_mask_lies_above_whatever_the_scores():
    large, small = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    small[1:3, 1:3] = True
    assert (paint([CodedMask(coded(small)), CodedMask(coded(large))], (4, 4)) == np.where(small, 1, 2)).all()
    sure = [CodedMask(coded(small), 0.3), CodedMask(coded(large), 0.9)]
    assert (paint(sure, (4, 4)) == np.where(small, 1, 2)).all()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [4, 5], "counts": ""}, "do not cover the image's 20 pixels"),
        ({"size": [4, 5], "counts": "3"}, "do not cover"),
        ({"size": [4, 5], "counts": [3]}, "do not cover"),
        ({"size": [4, 5], "counts": [30, -10]}, "do not cover"),
        ({"size": [4, 5], "counts": "~~~~~~"}, "are no run lengths"),
        ({"size": [4, 5], "counts": "oooooooooooo"}, "are no run lengths"),
        ({"size": [4, 5], "counts": "°"}, "are no run lengths"),
        ({"size": [4, 5], "counts": "5220003P"}, "end within a number"),
        ({"size": [5, 4], "counts": [20]}, "a mask is 4 x 5, the image 5 x 4"),
        ({"size": [4, 5]}, "run lengths with size and counts"),
        ("x", "run lengths with size and counts"),
        ([], "three or more points"),
        ([[1, 1]], "three or more points"),
        ([[1, 1, 2, 2, 3]], "three or more points"),
        ([[float("nan")] * 6], "no number"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        paint([CodedMask(segmentation)], (5, 4))


def test_a_coco_file_with_a_mask_an_annotation(tmp_path):
    sky, dog = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    sky[:4], dog[3:, :4] = True, True
    document = {
        "images": [{"id": 5, "file_name": "a.jpg"}, {"id": 6, "file_name": "b.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 187, "name": "sky", "isthing": 0, "supercategory": "sky"}],
        "annotations": [
            {"image_id": 5, "category_id": 187, "segmentation": coded(sky), "score": 0.5},
            {"image_id": 5, "category_id": 18, "segmentation": runs(dog), "score": 0.75},
            {"image_id": 6, "category_id": 18, "segmentation": {"size": [6, 8], "counts": [7]}},
        ],
    }
    path = tmp_path / "found.json"
    path.write_text(json.dumps(document))
    segments = GivenSegments(path)
    graph = segments.of("a.jpg", (8, 6))
    assert [(s.label, s.is_thing, s.score, s.bbox, s.area, s.supercategory) for s in graph.segments] == [
        ("sky", False, 0.5, (0, 0, 8, 4), 28, "sky"),
        ("dog", True, 0.75, (0, 3, 4, 6), 12, None),
    ]
    assert (graph.panoptic == graph.segments[1].id).sum() == 12
    assert segments.png_of(tmp_path / "a.jpg") is None
    with pytest.raises(SpadeError, match=r"found.json: b.jpg: a mask's runs do not cover the image's 48 pixels; mend"):
        segments.of("b.jpg", (8, 6))
    with pytest.raises(SpadeError, match="a mask is 8 x 6, the image 9 x 6"):
        segments.of("a.jpg", (9, 6))
