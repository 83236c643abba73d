from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spade.segmentation.panoptic import (
    PanopticRules,
    PanopticSegment,
    candidates,
    mask_confidence,
    merge_masks,
    panoptic_map,
    unsuppressed,
)

THINGS = torch.tensor([True, True, False, False])  # classes 0, 1 things; 2, 3 stuff


def logits(*boxes, size=(10, 10), strength=8.0):
    """Masks that are sure inside a box (y1, x1, y2, x2) and sure of nothing outside."""
    masks = torch.full((len(boxes), *size), -strength)
    for mask, (y1, x1, y2, x2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = strength
    return masks


def scores(*pairs):
    """Probability rows: (class, probability), the rest on "no object"."""
    rows = torch.zeros(len(pairs), 5)
    for row, (category, probability) in zip(rows, pairs, strict=True):
        row[category], row[4] = probability, 1 - probability
    return rows


def test_candidates():
    rows = scores((0, 0.9), (1, 0.2), (2, 0.5), (3, 0.51))
    assert candidates(rows, PanopticRules(min_score=0.25)).tolist() == [0, 3]


def test_two_things_of_one_class_stay_two_and_stuff_merges():
    masks = logits((0, 0, 4, 4), (6, 6, 10, 10), (0, 6, 3, 10), (7, 0, 10, 3))
    panoptic, found = merge_masks(masks, scores((0, 0.9), (0, 0.8), (2, 0.7), (2, 0.6)), THINGS, PanopticRules())
    assert [s.category for s in found] == [0, 0, 2]
    assert found[2] == PanopticSegment(2, float(torch.tensor(0.7)), 2)
    assert panoptic[1, 1] == 1
    assert panoptic[8, 8] == 2
    assert panoptic[1, 8] == panoptic[8, 1] == 3
    assert panoptic[5, 5] == 0


def test_stuff_thing_stuff_thing_never_share_an_id():
    """The case in which transformers' post-processing gives two segments one id."""
    masks = logits((0, 0, 5, 5), (0, 5, 5, 10), (5, 0, 10, 5), (5, 5, 10, 10))
    panoptic, found = merge_masks(masks, scores((2, 0.9), (0, 0.8), (2, 0.7), (1, 0.6)), THINGS, PanopticRules())
    assert [s.category for s in found] == [2, 0, 1]
    assert sorted(panoptic.unique().tolist()) == [1, 2, 3]


def test_the_surer_query_takes_shared_pixels_and_a_hidden_one_is_dropped():
    masks = logits((0, 0, 6, 10), (4, 0, 10, 10), (0, 0, 5, 9))
    panoptic, found = merge_masks(masks, scores((0, 0.9), (1, 0.6), (1, 0.5)), THINGS, PanopticRules())
    assert [s.query for s in found] == [0, 1]
    assert panoptic[5, 5] == 1, "the surer one has the shared row"
    assert panoptic[7, 7] == 2


def test_weak_scores_do_not_shrink_masks():
    """A score of .45 alone, as long as it passes, may not kill a mask: the overlap test looks at masks only."""
    panoptic, found = merge_masks(logits((0, 0, 10, 10)), scores((0, 0.45)), THINGS, PanopticRules(min_score=0.25))
    assert len(found) == 1
    assert (panoptic == 1).all()


def test_small_segments_are_dropped_and_nothing_is_fine():
    rules = PanopticRules(min_area=0.05)
    _, found = merge_masks(logits((0, 0, 2, 2), (5, 5, 8, 8)), scores((0, 0.9), (1, 0.9)), THINGS, rules)
    assert [s.category for s in found] == [1]
    empty, none = merge_masks(torch.zeros(0, 4, 4), torch.zeros(0, 5), THINGS, rules)
    assert not none
    assert not empty.any()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_every_segment_has_its_pixels_and_no_pixel_two(seed, queries):
    generator = torch.Generator().manual_seed(seed)
    masks = 4 * torch.randn(queries, 9, 7, generator=generator)
    probabilities = torch.rand(queries, 5, generator=generator).softmax(-1)
    rules = PanopticRules(min_score=0.0, min_area=0.03, min_overlap=0.3)
    panoptic, found = merge_masks(masks, probabilities, THINGS, rules)
    assert set(panoptic.unique().tolist()) - {0} == set(range(1, len(found) + 1))
    stuff = [s.category for s in found if s.category >= 2]
    assert len(stuff) == len(set(stuff))
    assert all((panoptic == n + 1).sum() >= 0.03 * 63 for n in range(len(found)))


def test_mask_confidence_is_the_mean_inside():
    masks = torch.tensor([[[0.9, 0.7], [0.4, 0.0]], [[0.1, 0.2], [0.3, 0.4]]])
    assert mask_confidence(masks).tolist() == pytest.approx([0.8, 0.0])


def test_of_two_things_in_one_place_the_surer_stays():
    masks = logits((0, 0, 4, 4), (0, 0, 4, 5), (0, 0, 4, 4), (6, 6, 9, 9), (0, 0, 4, 4)) > 0
    rows = scores((0, 0.6), (1, 0.9), (2, 0.5), (0, 0.8), (0, 0.55))
    # The 1st and the 5th share 16 of 20 pixels with the 2nd; stuff and what lies elsewhere stay.
    assert unsuppressed(masks, rows, THINGS, 0.5).tolist() == [1, 2, 3]
    assert unsuppressed(masks, rows, THINGS, 0.8).tolist() == [0, 1, 2, 3], "16 of 20 are not more than 0.8"
    assert unsuppressed(masks[:0], rows[:0], THINGS, 0.5).tolist() == []


def test_rules_of_confidence_and_suppression_change_what_is_merged():
    masks = logits((0, 0, 6, 6), (0, 0, 6, 5), (7, 7, 10, 10))
    masks[1, :6, :5] = 0.1  # a mask that is not sure of its pixels
    rows = scores((0, 0.6), (1, 0.9), (1, 0.7))
    everything = torch.ones(2, dtype=torch.bool)
    is_thing = torch.cat([everything, ~everything])
    plain = panoptic_map(masks, rows, is_thing, (10, 10), PanopticRules(suppression=1.0, mask_confidence=False))[1]
    both = panoptic_map(masks, rows, is_thing, (10, 10), PanopticRules(suppression=0.5, mask_confidence=True))[1]
    single = panoptic_map(masks, rows, is_thing, (10, 10), PanopticRules(suppression=0.5, mask_confidence=False))[1]
    assert [s.category for s in single] == [1, 1]
    assert [s.category for s in both] == [1, 0], "0.9 x 0.52 is less than 0.6 x 1"
    assert both[0].query == 2
    assert [s.category for s in plain] == [1, 0], "each pixel goes to 0.6 x 1 before 0.9 x 0.52"
