"""Recall by hand on maps of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade.data.psg import Record, SegmentRecord
from spade.evaluation.matching import overlaps
from spade.evaluation.predictions import PredictedImage, PredictedSegment
from spade.evaluation.protocols import OpenPsg

TRUE = np.zeros((4, 8), np.uint32)
TRUE[:, :4], TRUE[:, 4:] = 5, 6


def record(triples, image_id="1", crowd=False):
    segments = (
        SegmentRecord(5, 0, True, False, 16, (0, 0, 4, 4)),
        SegmentRecord(6, 1, True, crowd, 16, (4, 0, 8, 4)),
    )
    return Record(image_id, image_id, "a.png", "a.png", 8, 4, segments, tuple(triples))


def predicted(rows, ids=TRUE, classes=(0, 1), strengths=(1.0, 1.0)):
    """rows: (subject, object, [score per predicate])."""
    segments = tuple(PredictedSegment(0, int(i), c, s) for i, c, s in zip(sorted(set(ids.flat) - {0}), classes, strengths, strict=True))
    pairs = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    return PredictedImage("1", (ids,), segments, pairs, np.array([row[2] for row in rows], float).reshape(len(rows), 3))


def evaluate(*images, at=(1, 2)):
    protocol = OpenPsg(("a", "b"), 2, ("p", "q", "r"), at)
    for truth, prediction in images:
        protocol.add(truth, TRUE, prediction)
    return protocol.figures()


def test_joint_histogram_by_hand():
    ids = TRUE.copy()
    ids[0] = 0
    found = overlaps(predicted([], ids), TRUE, [6, 5])
    assert found.joint.tolist() == [[0, 12], [12, 0]]
    assert found.iou().tolist() == [[0, 0.75], [0.75, 0]]
    holes = TRUE.copy()
    holes[:2] = 0
    assert overlaps(predicted([]), holes, [5]).void.tolist() == [8, 16], "ids that are no segment count as void"


def test_rank_cut_and_one_predicate_a_row():
    rows = [(0, 1, [0.1, 0.3, 0.0]), (0, 1, [0.9, 0.8, 0.0]), (1, 0, [0.0, 0.0, 0.5])]
    figures = evaluate((record([(0, 1, 0), (0, 1, 1)]), predicted(rows)))
    # Ranked: row 1 (p, .9), row 2 (r, .5), row 0 (q, .3). At 1: p; at 2: still only p; at 3: q as well.
    assert (figures["R@1"], figures["R@2"]) == (0.5, 0.5)
    assert evaluate((record([(0, 1, 0), (0, 1, 1)]), predicted(rows)), at=(3,))["R@3"] == 1.0


def test_segment_scores_take_part_in_the_rank():
    rows = [(0, 0, [0.9, 0, 0]), (0, 1, [0, 0.5, 0])]
    strong = evaluate((record([(0, 1, 1)]), predicted(rows, strengths=(0.5, 1.0))))
    weak = evaluate((record([(0, 1, 1)]), predicted(rows, strengths=(1.0, 0.5))))
    # .9 x .5 x .5 = .225 against .5 x .5 x 1 = .25; then .9 x 1 x 1 against .5 x 1 x .5.
    assert (strong["R@1"], weak["R@1"]) == (1.0, 0.0)


def test_classes_and_iou_must_agree_at_exactly_one_half():
    half = np.where(np.arange(4)[:, None] < 2, TRUE, 0).astype(np.uint32)
    less = half.copy()
    less[1, 0] = 0
    row = [(0, 1, [1, 0, 0])]
    assert evaluate((record([(0, 1, 0)]), predicted(row, half)))["R@1"] == 1.0
    assert evaluate((record([(0, 1, 0)]), predicted(row, less)))["R@1"] == 0.0
    assert evaluate((record([(0, 1, 0)]), predicted(row, classes=(1, 0))))["R@1"] == 0.0


def test_copies_skips_and_strict():
    hit = predicted([(0, 1, [1, 0, 0])])
    images = [
        (record([(0, 1, 0), (0, 1, 0)]), hit),  # an exact copy counts once
        (record([(0, 1, 2)]), None),  # no prediction
        (record([(0, 1, 2)]), predicted([])),  # no rows
        (record([]), hit),  # nothing to find
    ]
    figures = evaluate(*images)
    assert (figures["images"], figures["skipped"], figures["without_relations"]) == (1, 2, 1)
    assert figures["R@1"] == 1.0
    assert figures["strict"]["R@1"] == pytest.approx(1 / 3)


def test_mean_recall_counts_absent_predicates_as_zero():
    hit = predicted([(0, 1, [1, 0, 0])])
    figures = evaluate((record([(0, 1, 0), (1, 0, 1)]), hit), (record([(1, 0, 0)]), hit))
    assert figures["R@1"] == pytest.approx((0.5 + 0) / 2)
    assert figures["per_predicate"]["R@1"] == {"p": 0.5, "q": 0.0, "r": None}
    assert figures["mR@1"] == pytest.approx((0.5 + 0 + 0) / 3)


def test_nothing_evaluated_is_null():
    figures = evaluate((record([]), None))
    assert figures["R@1"] is None
    assert figures["mR@1"] is None
    assert figures["PQ"] is None


def test_panoptic_quality_by_hand():
    ids = TRUE.copy()
    ids[0, :4] = 0
    figures = evaluate((record([]), predicted([], ids, classes=(0, 0))))
    # Class a: one match at IoU .75 and one false positive; class b: one miss.
    assert figures["PQ"] == pytest.approx((0.75 / 1.5 + 0) / 2)
    assert figures["SQ"] == pytest.approx(0.75 / 2)
    assert figures["RQ"] == pytest.approx((1 / 1.5) / 2)


def test_a_crowd_is_no_miss_and_excuses_predictions_on_it():
    figures = evaluate((record([], crowd=True), predicted([])))
    assert figures["PQ"] == 1.0
    other = evaluate((record([], crowd=True), predicted([], classes=(0, 0))))
    assert other["PQ"] == pytest.approx(1 / 1.5), "a crowd of another class excuses nothing"


rows = st.tuples(st.integers(0, 1), st.integers(0, 1), st.lists(st.floats(0, 1), min_size=3, max_size=3))


@settings(max_examples=60)
@given(st.lists(rows, min_size=1, max_size=6), st.sets(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)), min_size=1))
def test_recall_grows_with_k_and_a_last_wrong_row_changes_nothing(lines, triples):
    truth = record(sorted(triples))
    figures = evaluate((truth, predicted(lines)), at=(1, 3, 10))
    assert figures["R@1"] <= figures["R@3"] <= figures["R@10"] <= 1
    more = evaluate((truth, predicted([*lines, (0, 0, [0.0, 0.0, 0.0])])), at=(1, 3))
    if (0, 0, 0) not in triples:
        assert more["R@1"] == figures["R@1"]


def test_parts_merge_to_the_whole():
    images = [
        (record([(0, 1, 0), (1, 0, 2)]), predicted([(0, 1, [1, 0, 0])])),
        (record([(0, 1, 1)]), None),
        (record([(0, 1, 1)]), predicted([(0, 1, [0, 1, 0])], classes=(0, 0))),
    ]
    whole = OpenPsg(("a", "b"), 2, ("p", "q", "r"), (1, 2))
    parts = [OpenPsg(("a", "b"), 2, ("p", "q", "r"), (1, 2)) for _ in range(2)]
    for number, (truth, prediction) in enumerate(images):
        whole.add(truth, TRUE, prediction)
        parts[number > 0].add(truth, TRUE, prediction)
    parts[0].recall.merge(parts[1].recall)
    parts[0].quality.merge(parts[1].quality)
    assert parts[0].figures() == whole.figures()
