"""Which triplets are counted apart, and how sure a figure is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.data.split_lists import read_split
from spade.evaluation.scoring.bootstrap import RESAMPLES, differences, interval
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import known_predicates, positional_predicates, read_zero_shot
from spade.structures.vocabulary import psg_lists
from tests.evaluation.helpers import TRUE, dataset, predicted, record

PSG = psg_lists()["predicate_classes"]


def judged(*images, at=(1,), **lists):
    evaluator = Evaluator(dataset([r for r, _ in images], **lists), at=at)
    for truth, said in images:
        evaluator.add(truth, TRUE, said)
    return evaluator


def test_official_predicates():
    assert positional_predicates() == {"over", "in front of", "beside", "on", "in", "attached to"}
    assert known_predicates() == set(PSG)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has no list under triplets"),
        ({"triplets": [[0, 1]]}, r"triplets\[0\] is no list of three"),
        ({"triplets": [[0, 1, 3]]}, r"triplets\[0\]: 3 is neither an index nor a name"),
        ({"triplets": [["c", 1, 0]]}, r"triplets\[0\]: 'c' is neither"),
        ({"triplets": [[True, 1, 0]]}, "True is neither"),
    ],
)
def test_bad_zero_shot_files(tmp_path, content, message):
    (tmp_path / "z.json").write_text(json.dumps(content))
    with pytest.raises(SpadeError, match=message):
        read_zero_shot(tmp_path / "z.json", dataset())


def test_zero_shot_by_index_or_name(tmp_path):
    (tmp_path / "z.json").write_text('{"triplets": [["a", 1, "q"]]}')
    assert read_zero_shot(tmp_path / "z.json", dataset()) == {(0, 1, 1)}


def test_base_and_novel_come_from_one_run(tmp_path):
    """Novel triplets are looked for among all rows: a cut-down vocabulary would find this one at rank 1."""
    (tmp_path / "s.json").write_text(json.dumps({"novel_predicates": ["q"], "base_objects": ["b"]}))
    rows = [(0, 1, [0.9, 0, 0]), (1, 0, [0, 0.8, 0])]
    evaluator = judged((record([(0, 1, 0), (1, 0, 1)]), predicted(rows)), at=(1, 2))
    groups = evaluator.summary(read_split(str(tmp_path / "s.json"), evaluator.dataset))["groups"]
    assert (groups["novel_predicates"]["R@1"], groups["novel_predicates"]["R@2"]) == (0.0, 1.0)
    assert (groups["base_predicates"]["R@1"], groups["base_predicates"]["triplets"]) == (1.0, 1)
    assert groups["base_predicates"]["mR@2"] == 0.5, "p 1, r absent and 0 as in the whole"
    assert groups["mixed_objects"]["triplets"] == 2, "a is novel, b is not"
    assert groups["novel_objects"]["R@1"] is None
    assert groups["positional"] is None, "p, q, r are no PSG names"


def test_near_far_and_kinds():
    """Centres of the two halves lie half a width apart: far. On itself a segment is near."""
    truth = record([(0, 1, 0), (0, 0, 1)])
    said = predicted([(0, 0, [0, 1, 0])])
    summary = judged((truth, said), things=("a",), stuff=("b",)).summary()
    groups = summary["groups"]
    assert (groups["far"]["triplets"], groups["far"]["R@1"]) == (1, 0.0)
    assert (groups["near"]["triplets"], groups["near"]["R@1"]) == (1, 1.0)
    assert (groups["thing-stuff"]["triplets"], groups["thing-thing"]["R@1"], groups["stuff-stuff"]["R@1"]) == (
        1,
        1.0,
        None,
    )
    counts = [row["triplets"] for row in summary["distance"]]
    assert counts == [1, 0, 1, 0, 0], "half a width belongs to the bin up to one half"
    assert sum(counts) == summary["denominators"]["triplets"]


def test_positional_predicates_are_told_apart():
    names = {"predicates": ("on", "eating", "holding")}
    groups = judged((record([(0, 1, 0), (1, 0, 1)]), predicted([(0, 1, [1, 0, 0])])), **names).summary()["groups"]
    assert (groups["positional"]["R@1"], groups["other"]["R@1"]) == (1.0, 0.0)
    assert (groups["positional"]["predicates"], groups["other"]["predicates"]) == (1, 2)


def images(hits, seed=0):
    rng = np.random.default_rng(seed)
    truth = [record([(0, 1, 0)], str(i)) for i in range(len(hits))]
    rows = [
        predicted([(0, 1, [1, 0, 0] if hit else [0, 0, 1])], image_id=str(i), strengths=rng.uniform(0.5, 1, 2))
        for i, hit in enumerate(hits)
    ]
    return list(zip(truth, rows, strict=True))


def test_intervals_are_those_of_a_mean():
    """R@1 of 200 images, half of them hit: the interval of a mean of coins is about .5 +- 1.96 x .5 / sqrt(200)."""
    evaluator = judged(*images([i % 2 == 0 for i in range(200)]))
    low, high = evaluator.summary()["ci95"]["R@1"]
    assert (low, high) == (pytest.approx(0.5 - 0.0693, abs=0.01), pytest.approx(0.5 + 0.0693, abs=0.01))
    assert evaluator.summary(seed=0)["ci95"] == evaluator.summary(seed=0)["ci95"]
    drawn = evaluator.replicates(0)
    assert (evaluator.replicates(1)["R@1"] != drawn["R@1"]).any()
    assert drawn["R@1"].shape == (RESAMPLES,)
    assert evaluator.summary()["ci95"]["PQ"] == [1.0, 1.0], "all masks are right in every draw"
    third = evaluator.summary()["mR@1"]
    assert third == pytest.approx(0.5 / 3)
    assert drawn["mR@1"].mean() == pytest.approx(third, abs=0.01), "absent predicates stay absent, no more"


def test_paired_differences_are_surer_than_two_intervals():
    """Two systems that fail on the same images but for five: apart their intervals overlap, paired the difference is
    sure.
    """
    base = [i % 2 == 0 for i in range(100)]
    better = [hit or i in (1, 3, 5, 7, 9) for i, hit in enumerate(base)]
    first, second = (judged(*images(hits)) for hits in (base, better))
    found = differences(first.replicates(0), second.replicates(0), (first.summary(), second.summary()))["R@1"]
    assert found["difference"] == pytest.approx(0.05)
    assert 0 < found["ci95"][0] < 0.05 < found["ci95"][1] < 0.11
    a, b = first.summary()["ci95"]["R@1"], second.summary()["ci95"]["R@1"]
    assert a[1] > b[0]
    assert interval(np.array([np.nan])) is None
