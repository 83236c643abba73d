"""A panoptic map and boxes answer alike: a map of boxes that do not overlap is those boxes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade.structures.regions import BoxRegions, MapRegions


@st.composite
def apart(draw):
    """Boxes side by side, and the map that they are."""
    width, height = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    edges = sorted(draw(st.sets(st.integers(0, width), min_size=2, max_size=6)))
    boxes, numbers = [], np.zeros((height, width), np.int64)
    for n, (x1, x2) in enumerate(pairwise(edges)):
        y1 = draw(st.integers(0, height - 1))
        y2 = draw(st.integers(y1 + 1, height))
        boxes.append((x1, y1, x2, y2))
        numbers[y1:y2, x1:x2] = n + 1
    return BoxRegions(np.array(boxes, float), (width, height)), MapRegions(numbers, len(boxes))


@given(apart(), st.integers(1, 9), st.integers(1, 9))
def test_both_kinds_agree(both, rows, columns):
    boxes, numbers = both
    assert (boxes.size, len(boxes)) == (numbers.size, len(numbers))
    assert np.array_equal(boxes.masks(), numbers.masks())
    assert np.allclose(boxes.relative_boxes(), numbers.relative_boxes())
    assert np.array_equal(boxes.mirrored().masks(), numbers.mirrored().masks())
    width, height = boxes.size
    if width % columns == 0 and height % rows == 0:  # elsewhere cells of a map overlap by a pixel
        assert np.allclose(boxes.shares((rows, columns)), numbers.shares((rows, columns)), atol=1e-6)


def test_a_box_smaller_than_a_cell_keeps_one():
    tiny = BoxRegions(np.array([[5.0, 5.0, 6.0, 6.0], [0.0, 0.0, 100.0, 50.0]]), (100, 100))
    masks = tiny.masks((4, 4))
    assert masks[0].sum() == 1
    assert masks[0, 0, 0]
    assert masks[1].sum() == 8
    assert tiny.shares((4, 4))[0].sum() == pytest.approx(1 / 625)


def test_overlapping_boxes_keep_their_pixels():
    regions = BoxRegions(np.array([[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 6.0, 6.0]]), (8, 8))
    assert regions.masks().sum((1, 2)).tolist() == [16, 16]
    assert regions.masks()[:, 3, 3].all()
