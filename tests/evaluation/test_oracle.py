"""The numbers of five public evaluators on synthetic data (its README, in the archive, states every rule)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from spade.data.codecs import read_panoptic
from spade.data.psg import load_psg
from spade.evaluation.evaluator import Evaluator
from spade.evaluation.groups import read_zero_shot
from spade.evaluation.sources import open_predictions

KS = (20, 50, 100)
KINDS = ("single", "multi", "predcls")
CLOSE = 1e-6


@pytest.fixture(scope="session")
def oracle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("oracle")
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "eval_oracle.zip") as archive:
        archive.extractall(folder)
    return folder


def evaluate(folder, kind, protocol, file=None, at=KS, only=None):
    """An evaluator that has judged the test images, or only some, and its data set."""
    dataset = load_psg(folder)
    mode = "predcls" if kind == "predcls" else "sgdet"
    predictions = open_predictions(folder / (file or f"pred_{kind}.json"), dataset, mode == "predcls")
    evaluator = Evaluator(dataset, protocol, mode, at)
    for record in dataset.split("test"):
        if only is None or record.image_id in only:
            ids = read_panoptic(folder / record.panoptic_name) if evaluator.needs_masks else None
            evaluator.add(record, ids, predictions.get(record))
    return evaluator


def expected(oracle, kind, evaluator):
    return json.loads((oracle / "results.json").read_text())[kind][evaluator]


def agree(figures, reference, names):
    for name in names:
        assert figures[name] == pytest.approx(reference[name], abs=CLOSE), name


def names(*prefixes, at=KS):
    return [f"{prefix}@{k}" for prefix in prefixes for k in at]


def predicate_recalls(summary, k):
    return [row[f"R@{k}"] for row in summary["per_predicate"].values()]


@pytest.mark.parametrize("kind", KINDS)
def test_openpsg(oracle, kind):
    evaluator, reference = evaluate(oracle, kind, "openpsg"), expected(oracle, kind, "openpsg_panseg")
    summary = evaluator.summary()
    assert summary["images"] == reference["n_images_evaluated"]
    assert summary["images"] + summary["skipped"] == reference["n_images_gt"]
    agree(summary, reference, names("R", "mR", "ngR"))
    if kind == "predcls":
        agree(summary, reference, names("A"))
    for k in KS:
        assert predicate_recalls(summary, k) == pytest.approx(reference["per_predicate_recall"][f"@{k}"], abs=CLOSE)
        images = {row["image_id"]: row[f"R@{k}"] for row in evaluator.per_image() if row["counted"]}
        assert images == pytest.approx(reference["per_image_recall"][f"@{k}"], abs=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_visual_genome(oracle, kind):
    evaluator, reference = evaluate(oracle, kind, "vg"), expected(oracle, kind, "vg_sgb_bbox")
    summary = evaluator.summary(zero_shot=read_zero_shot(oracle / "zeroshot_triplets.json", evaluator.dataset))
    assert summary["images"] == reference["n_images_evaluated"]
    agree(summary, reference, names("R", "mR", "ngR", "ng-mR", "zR", "ng-zR"))
    if kind == "predcls":
        agree(summary, reference, names("A"))
    assert predicate_recalls(summary, 20) == pytest.approx(reference["per_predicate_recall"]["@20"], abs=CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_sgbench(oracle, kind):
    evaluator, reference = evaluate(oracle, kind, "sgbench"), expected(oracle, kind, "sgbench")
    summary = evaluator.summary()
    assert summary["images"] == reference["n_images_evaluated"]
    agree(summary, reference["api"], names("R", "mR", "ngR", "ng-mR"))
    for k in KS:
        # sgbench's own pair_recall also cuts the annotation at k; ours never does.
        assert summary[f"PR@{k}"] == pytest.approx(reference["api"][f"PR_full_gt@{k}"], abs=CLOSE)
        assert predicate_recalls(summary, k) == pytest.approx(reference["per_predicate_recall"][f"@{k}"], abs=CLOSE)
        images = {row["image_id"]: row[f"R@{k}"] for row in evaluator.per_image() if row["counted"]}
        assert images == pytest.approx(reference["per_image_recall"][f"@{k}"], abs=CLOSE)
    agree(summary, reference["cli"], ["InstR", *names("R")])


@pytest.mark.parametrize("kind", KINDS)
def test_single_mpo(oracle, kind):
    at = (10, *KS)
    evaluator = evaluate(oracle, kind, "single-mpo", at=at)
    reference = expected(oracle, kind, "fairpsgg_hilo_first" if kind == "multi" else "fairpsgg_first")
    summary = evaluator.summary()
    assert summary["images"] == reference["n_images_evaluated"]
    agree(summary, reference, names("R", "mR", "ngR", "ng-mR", at=at))
    for k in at:
        assert predicate_recalls(summary, k) == pytest.approx(reference["per_predicate_recall"][f"@{k}"], abs=CLOSE)


@pytest.mark.parametrize("protocol", ["openpsg", "sgbench", "single-mpo"])
def test_panoptic_quality(oracle, protocol):
    summary, reference = evaluate(oracle, "single", protocol).summary(), expected(oracle, "single", "panopticapi_PQ")
    for suffix, group in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        for name in ("pq", "sq", "rq"):
            assert summary[name.upper() + suffix] == pytest.approx(reference[group][name], abs=CLOSE)
    assert summary["denominators"]["PQ"] == reference["All"]["n"]
    assert summary["denominators"]["PQ_images"] == reference["n_images"]
    known = [row["PQ"] for row in summary["per_class"].values() if row is not None]
    classes = list(summary["per_class"])
    assert sorted(known) == pytest.approx(sorted(reference["per_class_pq"].values()), abs=CLOSE)
    by_name = {classes[int(key)] if key.isdigit() else key: value for key, value in reference["per_class_pq"].items()}
    assert {name: row["PQ"] for name, row in summary["per_class"].items() if row} == pytest.approx(by_name, abs=CLOSE)
