from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from spade.export.outlines import outlines, path_data
from spade.structures.segment_map import anchors, centroids


def test_a_square_with_a_hole():
    numbers = np.zeros((20, 20), np.int64)
    numbers[4:16, 4:16], numbers[8:12, 8:12] = 1, 2
    (((outer, hole),), ((inner,),)) = outlines(numbers, 2)
    assert (outer.min(), outer.max()) == (4, 16)
    assert (hole.min(), hole.max()) == (inner.min(), inner.max()) == (8, 12)
    # Corners are cut by half a pixel; what is straight is one piece.
    assert len(outer) == 9
    assert path_data([[np.array([[0, 0], [4, 0], [4, 3], [0, 0]])]]) == "M0 0l4 0 0 3z"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_outlines_hold_their_masks(width, height, seed):
    """What is filled again differs from the mask at its rim alone."""
    coarse = np.random.default_rng(seed).integers(0, 4, (-(-height // 5), -(-width // 5)))
    numbers = np.kron(coarse, np.ones((5, 5), np.int64))[:height, :width]
    for number, polygons in enumerate(outlines(numbers, 3), start=1):
        area = 0.0
        for ring in (ring for polygon in polygons for ring in polygon):
            x, y = ring.T
            area += float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)  # holes turn the other way
        corners = sum(len(ring) for polygon in polygons for ring in polygon)
        assert abs(area - (numbers == number).sum()) <= 0.15 * corners


def test_a_large_map_is_thinned():
    numbers = np.zeros((3000, 4000), np.int64)
    numbers[1000:2000, 1000:3000] = 1
    (((ring,),),) = outlines(numbers, 1)
    assert (ring.min(0) - [1000, 1000] < 8).all()
    assert (ring.max(0) - [3000, 2000] < 8).all()


def test_anchors_lie_inside():
    """Of a ring, of a comb, of one pixel."""
    numbers = np.zeros((60, 90), np.int64)
    canvas = Image.new("I", (90, 60))
    ImageDraw.Draw(canvas).ellipse((5, 5, 45, 45), outline=1, width=6)
    numbers += np.asarray(canvas)
    numbers[50:58, 2:80] = 2
    numbers[30:50, 60:80:6] = 2
    numbers[3, 88] = 3
    for number, (x, y) in enumerate(anchors(numbers, 3), start=1):
        assert numbers[int(y), int(x)] == number
    assert np.isnan(anchors(numbers, 4)[3]).all()
    assert centroids(numbers, 3)[2].tolist() == [88.5, 3.5]
    assert centroids(numbers, 3)[0] == pytest.approx((25.5, 25.5))
