"""Figures by hand on maps of a few pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.predicted_image import ImageError, PredictedImage
from spade.evaluation.scoring.rows import Rows, ranked
from spade.evaluation.scoring.runner import Scored
from tests.evaluation.helpers import TRUE, dataset, evaluate, predicted, record


def test_rank_cut_and_one_predicate_a_row():
    rows = [(0, 1, [0.1, 0.3, 0.0]), (0, 1, [0.9, 0.8, 0.0]), (1, 0, [0.0, 0.0, 0.5])]
    # Ranked: row 1 (p, .9), row 2 (r, .5), row 0 (q, .3). At 1: p; at 2: still only p; at 3: q as well.
    metrics = evaluate((record([(0, 1, 0), (0, 1, 1)]), predicted(rows)), at=(1, 2, 3))
    assert (metrics["R@1"], metrics["R@2"], metrics["R@3"]) == (0.5, 0.5, 1.0)
    # Without graph constraint: (row 1, p) .9, (row 1, q) .8: both at 2.
    assert (metrics["ngR@1"], metrics["ngR@2"]) == (0.5, 1.0)
    assert metrics["PR@1"] == 1.0


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
    assert evaluate((record([(0, 1, 0)]), predicted(row, half)), protocol="single-mpo")["R@1"] == 0.0, (
        "above one half there"
    )


@pytest.mark.parametrize("protocol", ["openpsg", "single-mpo", "sgbench"])
def test_predictions_whose_map_holds_other_ids_are_refused(protocol):
    evaluator = Evaluator(dataset([record([(0, 1, 0)])]), protocol, at=(1,))
    swapped = predicted([(0, 1, [1, 0, 0])])
    swapped = replace(swapped, layers=replace(swapped.layers, maps=(TRUE << 16,)))
    with pytest.raises(ImageError, match="2 of 2 segments have no pixel in their png; write ids as R"):
        evaluator.add(record([(0, 1, 0)]), TRUE, swapped)


def test_single_segments_without_a_pixel_are_counted():
    evaluator = Evaluator(dataset([record([(0, 1, 0)])]), at=(1,))
    half = predicted([(0, 1, [1, 0, 0])])
    half = replace(half, layers=replace(half.layers, maps=(np.where(TRUE == 5, 0, TRUE),)))
    evaluator.add(record([(0, 1, 0)]), np.where(TRUE == 6, 0, TRUE), half)
    assert evaluator.judged[0].without_pixel == (1, 1)
    assert Scored(evaluator).notes() == [
        "1 predicted segment in 1 image has no pixel in the panoptic png",
        "1 annotated segment in 1 image has no pixel in the panoptic png",
    ]


def test_copies_skips_and_strict():
    hit = predicted([(0, 1, [1, 0, 0])])
    images = [
        (record([(0, 1, 0), (0, 1, 0)]), hit),  # an exact copy counts once
        (record([(0, 1, 2)]), None),  # no prediction
        (record([(0, 1, 2)]), predicted([])),  # no rows
        (record([]), hit),  # nothing to find
    ]
    metrics = evaluate(*images)
    assert (metrics["images"], metrics["skipped"], metrics["without_relations"]) == (1, 2, 1)
    assert metrics["R@1"] == 1.0
    assert metrics["strict"]["R@1"] == pytest.approx(1 / 3)
    assert metrics["strict"]["images"] == 3
    evaluator = Evaluator(dataset([r for r, _ in images]), "openpsg", "predcls", (1,))
    for truth, said in images:
        evaluator.add(truth, None, said)
    strict = evaluator.summary(zero_shot=frozenset({(0, 1, 2)}))["strict"]
    assert strict["A@1"] == pytest.approx(1 / 3), "one of three triplets"
    assert (evaluator.metrics()["A@1"], strict["zR@1"]) == (1.0, 0.0)
    for name in ("sgbench", "single-mpo"):
        assert evaluate(*images, protocol=name)["R@1"] == pytest.approx(1 / 3)


def test_mean_recall_of_absent_predicates():
    hit = predicted([(0, 1, [1, 0, 0])])
    images = [(record([(0, 1, 0), (1, 0, 1)]), hit), (record([(1, 0, 0)]), hit)]
    metrics = evaluate(*images)
    assert metrics["R@1"] == pytest.approx((0.5 + 0) / 2)
    assert metrics["mR@1"] == pytest.approx((0.5 + 0 + 0) / 3), "absent ones count 0"
    assert metrics["corrected"]["mR@1"] == pytest.approx((0.5 + 0) / 2)
    assert evaluate(*images, protocol="sgbench")["mR@1"] is None
    assert metrics["per_predicate"]["p"]["R@1"] == 0.5
    assert metrics["per_predicate"]["p"] | {"images": 2, "triplets": 2} == metrics["per_predicate"]["p"]
    assert metrics["per_predicate"]["r"]["R@1"] is None
    assert metrics["absent_predicates"] == ["r"]
    assert metrics["denominators"]["mR"] == 3


def test_nothing_evaluated_is_null():
    metrics = evaluate((record([]), None))
    for name in ("R@1", "mR@1", "ngR@1", "PR@1", "InstR", "PQ", "A@1", "zR@1"):
        assert metrics[name] is None, name
    assert set(metrics["ci95"].values()) == {None}


def test_accuracy_is_given_the_pairs():
    """A@K cuts after the rows on other pairs are taken out; sums over images are divided once."""
    ids = np.repeat(np.arange(1, 4, dtype=np.uint32), 4)[None].repeat(2, 0)
    truth = record([(0, 1, 0)], ids=ids, classes=(0, 1, 0))
    rows = [(0, 2, [0.9, 0, 0]), (0, 1, [0.8, 0, 0]), (0, 1, [0, 0.95, 0])]
    evaluator = Evaluator(dataset([truth]), "openpsg", "predcls", (1, 2))
    prediction = predicted(rows, ids, (0, 1, 0))
    evaluator.add(truth, None, PredictedImage("1", prediction.categories, prediction.scores, prediction.rows))
    metrics = evaluator.metrics()
    # Ranked: (0, 1, q), (0, 2, p), (0, 1, p): of the rows on the annotated pair the second is right.
    assert (metrics["R@1"], metrics["R@2"]) == (0.0, 0.0)
    assert (metrics["A@1"], metrics["A@2"]) == (0.0, 1.0)
    assert metrics["PQ"] is None, "no mask plays a part"


def test_overlapping_masks_merge_by_rank():
    """Three masks: the best keeps its pixels, one that covers it mostly is merged into it, a third takes what is
    free.
    """
    maps = [np.zeros((2, 8), np.uint32) for _ in range(3)]
    maps[0][:, :4], maps[1][:, :3], maps[2][:, 3:] = 1, 1, 1
    layers = Layers(tuple(maps), np.arange(3), np.ones(3, np.int64))
    rows = Rows(np.array([[1, 2], [0, 2]]), np.array([0, 1]))
    prediction = PredictedImage("1", np.array([0, 0, 1]), np.array([0.9, 0.8, 0.7]), rows, layers)
    true = np.repeat(np.array([[5, 6]], np.uint32), 4, axis=1).repeat(2, 0)
    truth = record([(0, 1, 0), (0, 1, 1)], ids=true)
    single = evaluate((truth, prediction), protocol="single-mpo", at=(5,), true=true)
    assert single["R@5"] == 0.5, "both rows are about one pair now: the first stays"
    assert single["InstR"] == 1.0
    assert single["PQ"] == 1.0, "merged, the masks are the annotated ones"
    assert evaluate((truth, prediction), at=(5,), true=true)["R@5"] == 1.0


def test_boxes_have_the_extra_pixel():
    """IoU of boxes (0, 0, 4, 4) and (0, 0, 4, 2): with + 1 it is 15 / 25 = .6; of (0, 0, 4, 1): 10 / 25."""
    for height, found in ((2, 1.0), (1, 0.0)):
        ids = TRUE.copy()
        ids[height:, :4] = 0
        assert evaluate((record([(0, 1, 0)]), predicted([(0, 1, [1, 0, 0])], ids)), protocol="vg")["R@1"] == found
    given = predicted([(0, 1, [1, 0, 0])])
    boxes = np.array([[0, 0, 4, 4], [4, 0, 8, 4]], float)
    without = PredictedImage("1", given.categories, given.scores, given.rows, None, boxes)
    assert evaluate((record([(0, 1, 0)]), without), protocol="vg")["R@1"] == 1.0
    with pytest.raises(ImageError, match="has no masks; evaluate boxes with `protocol=vg`"):
        evaluate((record([(0, 1, 0)]), without))


def test_ranked_lists_without_scores():
    """Imported lists: no scores; recall without graph constraint exists only where a list for it was given."""
    pairs, names = np.array([[1, 0], [0, 1]]), np.array([0, 0])
    base = predicted([])
    truth = record([(0, 1, 0), (0, 1, 1)])
    plain = PredictedImage("1", base.categories, base.scores, Rows(pairs, names), base.layers)
    metrics = evaluate((truth, plain))
    assert (metrics["R@1"], metrics["R@2"], metrics["ngR@1"]) == (0.0, 0.5, None)
    free = Rows(pairs, names, free=np.array([[0, 1, 1], [0, 1, 1], [0, 1, 0]]))
    listed = evaluate((truth, PredictedImage("1", base.categories, base.scores, free, base.layers)), protocol="sgbench")
    assert (listed["ngR@1"], listed["ngR@2"]) == (0.5, 1.0), "repeated candidates are dropped"


def test_zero_shot_counts_images_that_have_such_triplets():
    hit = predicted([(0, 1, [1, 0, 0])])
    first, second = record([(0, 1, 0), (1, 0, 1)]), record([(1, 0, 2)], "2")
    evaluator = Evaluator(dataset([first, second]), at=(1,))
    evaluator.add(first, TRUE, hit)
    evaluator.add(second, TRUE, hit)
    metrics = evaluator.summary(zero_shot=frozenset({(0, 1, 0)}))
    assert (metrics["zR@1"], metrics["denominators"]["zR"]) == (1.0, 1)
    assert evaluator.summary(zero_shot=frozenset({(1, 1, 0)}))["zR@1"] is None


def test_more_candidates_than_are_looked_at():
    """Only the best 100 candidates count: ties at the cut go to earlier rows."""
    pairs = np.array([[0, 1]] * 3)
    rows = ranked(pairs, np.full((3, 60), 0.5), np.ones(2))
    found = rows.candidates()
    assert found.shape == (100, 3)
    assert found[:60, 2].tolist() == list(range(60))
    assert found[60:, 2].tolist() == list(range(40))
    assert len(rows.candidates(distinct=True)) == 60
