"""Runs of pixels against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spade.evaluation.scoring.masks import Layers, pixel_runs
from spade.evaluation.scoring.matching import box_iou, match_any, match_best, match_one_to_one
from spade.structures.panoptic_png import ids_to_rgb

small = arrays(np.uint32, (5, 7), elements=st.integers(0, 4))


def test_by_hand():
    true = np.zeros((4, 8), np.uint32)
    true[:, :4], true[:, 4:] = 5, 6
    said = true.copy()
    said[0] = 0
    found = pixel_runs(true, [6, 5], Layers((said,), np.zeros(2, int), np.array([5, 6])), (4, 8)).overlaps()
    assert found.joint.tolist() == [[0, 12], [12, 0]]
    assert found.iou().tolist() == [[0, 0.75], [0.75, 0]]
    true[:2] = 0
    only = pixel_runs(true, [5], Layers((said,), np.zeros(2, int), np.array([5, 6])), (4, 8)).overlaps()
    assert only.void.tolist() == [4, 12], "ids that are no segment count as void"


@settings(max_examples=80)
@given(small, st.lists(small, min_size=1, max_size=3))
def test_the_planes_of_a_png_are_as_good_as_ids(true, maps):
    ids, layer = np.array([1, 2, 3] * len(maps)) * 70_001, np.repeat(np.arange(len(maps)), 3)

    def runs(form):
        return pixel_runs(
            form(true * 70_001), [70_001], Layers(tuple(form(m * 70_001) for m in maps), layer, ids), true.shape
        ).overlaps()

    plain, planes = runs(lambda m: m), runs(lambda m: tuple(ids_to_rgb(m)[..., c] for c in range(3)))
    assert plain.joint.tolist() == planes.joint.tolist()
    assert plain.void.tolist() == planes.void.tolist()


@settings(max_examples=80)
@given(small, st.lists(small, min_size=1, max_size=3))
def test_equals_counting(true, maps):
    ids, layer = np.array([1, 2, 3] * len(maps)), np.repeat(np.arange(len(maps)), 3)
    runs = pixel_runs(true, [4, 1, 2], Layers(tuple(maps), layer, ids), true.shape)
    found, boxes = runs.overlaps(), runs.boxes()
    for i, (number, identity) in enumerate(zip(layer, ids, strict=True)):
        mask = maps[number] == identity
        assert found.predicted_area[i] == mask.sum()
        assert found.void[i] == (mask & ~np.isin(true, [4, 1, 2])).sum()
        assert found.joint[i].tolist() == [(mask & (true == t)).sum() for t in (4, 1, 2)]
        ys, xs = np.nonzero(mask)
        assert boxes[i].tolist() == ([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0])
    assert found.true_area.tolist() == [(true == t).sum() for t in (4, 1, 2)]


@settings(max_examples=80)
@given(small, st.lists(small, min_size=2, max_size=3), st.data())
def test_merging_equals_the_rule_word_by_word(true, maps, data):
    layer, ids = np.repeat(np.arange(len(maps)), 2), np.array([1, 2] * len(maps))
    strengths = np.array(data.draw(st.permutations(range(len(ids)))), float)
    merged, keeper = pixel_runs(true, [1], Layers(tuple(maps), layer, ids), true.shape).merged(strengths)
    masks = [maps[n] == i for n, i in zip(layer, ids, strict=True)]
    free, expected, taken = np.ones(true.shape, bool), [-1] * len(ids), [0] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: -strengths[i])
    for place, segment in enumerate(order):
        if expected[segment] >= 0:
            continue
        mine = masks[segment] & free
        if not mine.any():
            continue
        free &= ~mine
        expected[segment], taken[segment] = segment, int(mine.sum())
        for later in order[place + 1 :]:
            joint, union = (masks[segment] & masks[later]).sum(), (masks[segment] | masks[later]).sum()
            if expected[later] < 0 and union and joint / union >= 0.5:
                expected[later] = segment
    assert keeper.tolist() == expected
    assert merged.overlaps().predicted_area.tolist() == taken


def test_three_ways_to_match():
    iou = np.array([[0.6, 0.0], [0.7, 0.0], [0.5, 0.5]])
    same = np.ones((3, 2), bool)
    assert match_any(iou, same).tolist() == [[True, False], [True, False], [True, True]]
    assert match_best(iou, same).tolist() == [[True, False], [True, False], [True, False]], "of equals the first"
    assert match_one_to_one(iou, same).tolist() == [[False, False], [True, False], [False, False]]
    other = np.array([[False, True], [True, True], [False, True]])
    assert match_best(iou, other).tolist() == [[False, False], [True, False], [False, True]]
    for match in (match_any, match_best, match_one_to_one):
        assert match(np.zeros((0, 2)), np.zeros((0, 2), bool)).shape == (0, 2)
        assert match(np.zeros((2, 0)), np.zeros((2, 0), bool)).shape == (2, 0)


def test_box_iou_by_hand():
    boxes = np.array([[0, 0, 9, 9], [10, 0, 19, 9], [5, 0, 14, 9]], float)  # 10 x 10 pixels each with the extra one
    assert box_iou(boxes[:2], boxes[2:])[:, 0].tolist() == [50 / 150, 50 / 150]
    assert box_iou(boxes[:1], boxes[1:2])[0, 0] == 0
