"""The account of a recall: figures by hand, and what must hold for any scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.protocols import PROTOCOLS
from tests.evaluation.helpers import dataset, evaluate, predicted, record
from tests.evaluation.scoring.test_properties import scene, summary

# Four columns of two pixels each.
COLUMNS = np.repeat(np.arange(1, 5, dtype=np.uint32), 2)[None].repeat(4, 0)


def test_each_relation_is_lost_at_the_first_step_that_fails():
    """Of five relations the 1st is found, the 2nd has another predicate, the 3rd has no row, the 4th a wrong name, the
    5th no mask.
    """
    truth = record([(0, 1, 0), (1, 0, 1), (0, 0, 2), (0, 2, 0), (0, 3, 0)], ids=COLUMNS, classes=(0, 1, 0, 1))
    found = np.where(COLUMNS == 4, 3, COLUMNS)  # the 4th lies in the 3rd's mask, of which it has one half
    found[0, 6:] = 0
    rows = [(0, 1, [0.9, 0, 0]), (1, 0, [0.8, 0, 0])]
    account = evaluate((truth, predicted(rows, found, classes=(0, 1, 1))), true=COLUMNS, at=(1, 5))["account"]
    assert account["proposals"] is None
    assert [account[name] for name in ("masks", "names")] == [0.8, 0.6]
    assert [account[f"{name}@{k}"] for k in (1, 5) for name in ("pairs", "predicates")] == [0.2, 0.2, 0.4, 0.2]
    lost = account["lost@5"]
    assert lost["masks"] == pytest.approx(np.log(0.8) / np.log(0.2))
    assert lost["predicates"] == pytest.approx(np.log(0.2 / 0.4) / np.log(0.2))


def test_what_is_missing_and_merged_with_a_neighbour():
    found = np.where(COLUMNS == 4, 3, COLUMNS)
    found[0, 4:6] = 0  # the mask of two: 6 pixels of the 3rd and 8 of the 4th, whose IoU is 8 / 14
    found[:2, 2:4] = 1  # the 2nd keeps half of its pixels, and an IoU of one half
    truth = record([(0, 3, 0)], ids=COLUMNS, classes=(0, 1, 1, 1))
    missing = evaluate((truth, predicted([(0, 1, [1, 0, 0])], found, classes=(0, 1, 1))), true=COLUMNS)["account"][
        "missing"
    ]
    assert missing == {"segments": 4, "without_mask": 1, "things_without_mask": 1, "merged": 1, "merged_same_class": 1}
    other = record([(0, 3, 0)], ids=COLUMNS, classes=(0, 1, 0, 1))
    said = predicted([(0, 1, [1, 0, 0])], found, classes=(0, 1, 1))
    assert evaluate((other, said), true=COLUMNS)["account"]["missing"]["merged_same_class"] == 0


def test_a_thing_between_stuff_and_another_thing_is_merged_with_the_thing():
    """One mask covers all but a pixel; the stuff in it is larger than either thing."""
    ids = np.repeat(np.array([1, 1, 1, 1, 2, 2, 3, 3], np.uint32)[None], 4, 0)
    truth = record([(1, 2, 0)], ids=ids, classes=(2, 0, 1))
    stuff = replace(truth.segments[0], is_thing=False)
    truth = replace(truth, segments=(stuff, *truth.segments[1:]))
    found = np.ones_like(ids)
    found[0, 7] = 2
    said = predicted([(0, 1, [1, 0, 0])], found, classes=(0, 1))
    missing = evaluate((truth, said), true=ids, stuff=("c",))["account"]["missing"]
    assert missing == {"segments": 3, "without_mask": 2, "things_without_mask": 2, "merged": 2, "merged_same_class": 0}


def test_proposals_that_merging_lost():
    truth = record([(0, 1, 0), (0, 2, 0), (0, 3, 0)], ids=COLUMNS, classes=(0, 1, 0, 1))
    said = predicted([(0, 1, [1, 0, 0])], np.where(COLUMNS > 2, 0, COLUMNS), classes=(0, 1))
    assert evaluate((truth, said), true=COLUMNS)["account"]["proposals"] is None
    grid = np.zeros((2, 2, 4), bool)  # cells of 2 x 2 pixels: a mask of the 3rd, and one of no segment
    grid[0, :, 2], grid[1] = True, True
    account = evaluate((truth, replace(said, proposals=grid)), true=COLUMNS)["account"]
    assert (account["proposals"], account["masks"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_boxes_and_given_segments_have_an_account_without_merging():
    truth = record([(0, 1, 0)])
    boxes = evaluate((truth, predicted([(0, 1, [0, 1, 0])])), protocol="vg")["account"]
    given_segments = Evaluator(dataset([truth]), mode="predcls", at=(1,))
    given_segments.add(truth, None, predicted([(0, 1, [0, 1, 0])]))
    for account in (boxes, given_segments.summary()["account"]):
        assert [account[n] for n in ("masks", "names", "pairs@1", "predicates@1")] == [1.0, 1.0, 1.0, 0.0]
        assert (account["missing"], account["lost@1"]) == (None, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=3, unique=True))
@settings(max_examples=60, deadline=None)
def test_steps_only_lose_and_end_in_recall(protocol, seeds):
    evaluator = summary(protocol, [scene(seed, str(seed)) for seed in seeds])
    result = evaluator.summary()
    account = result["account"]
    for k in evaluator.at:
        assert account[f"predicates@{k}"] == result[f"R@{k}"]
        steps = [account["masks"], account["names"], account[f"pairs@{k}"], account[f"predicates@{k}"]]
        if steps[0] is None:
            continue
        assert steps == sorted(steps, reverse=True)
        if (lost := account[f"lost@{k}"]) is not None:
            assert sum(lost.values()) == pytest.approx(1)
            assert min(lost.values()) >= -1e-12
