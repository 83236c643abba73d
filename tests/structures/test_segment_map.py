import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d

from spade.structures.segment_map import boxes_and_areas, cell_shares, numbered


def maps():
    """A numbered map of up to 9 x 11 pixels with up to five segments, and how many of them are asked for."""
    sides = st.tuples(st.integers(1, 9), st.integers(1, 11))
    return st.tuples(sides, st.integers(0, 5), st.integers(0, 2**31)).map(
        lambda drawn: (np.random.default_rng(drawn[2]).integers(0, 6, drawn[0]), drawn[1])
    )


def test_geometry_by_hand():
    numbers = np.zeros((4, 6), np.int64)
    numbers[1:3, 2:5] = 1
    numbers[3] = 2
    boxes, areas = boxes_and_areas(numbers, 3)
    assert boxes.tolist() == [[2, 1, 5, 3], [0, 3, 6, 4], [0, 0, 0, 0]], "x2 and y2 are exclusive; no pixel, no box"
    assert areas.tolist() == [6, 6, 0]


@given(maps())
def test_boxes_and_areas_are_those_of_each_mask(case):
    numbers, count = case
    boxes, areas = boxes_and_areas(numbers, count)
    assert boxes.shape == (count, 4)
    for n in range(count):
        ys, xs = np.nonzero(numbers == n + 1)
        wanted = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0] * 4
        assert boxes[n].tolist() == wanted
        assert areas[n] == len(xs)


@given(maps(), st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_shares_of_cells_are_adaptive_average_pooling(case, size):
    numbers, count = case
    shares = cell_shares(numbers, count, size)
    assert shares.shape == (count, *size)
    for n in range(count):
        pooled = adaptive_avg_pool2d(torch.from_numpy(numbers == n + 1)[None].float(), size)[0].numpy()
        assert np.allclose(shares[n], pooled, atol=1e-6)


def test_ids_are_numbered_in_the_order_that_is_given():
    ids = np.array([[70_000, 9], [0, 5]], np.uint32)
    assert numbered(ids, [9, 70_000, 123]).tolist() == [[2, 1], [0, 0]]
    assert numbered(ids, []).tolist() == [[0, 0], [0, 0]]


def test_a_thousand_segments_of_a_large_image_are_one_pass():
    """As fast as it is, the test would take minutes with a scan a segment: 1,000 times 12 million pixels."""
    ids = np.kron(np.arange(1, 1001).reshape(25, 40), np.ones((120, 100), np.int64)).astype(np.uint32)
    boxes, areas = boxes_and_areas(numbered(ids, list(range(1, 1001))), 1000)
    assert areas.tolist() == [12_000] * 1000
    assert boxes[41].tolist() == [100, 120, 200, 240]
