"""The numbers of public evaluators on synthetic data (single predictions, scene graph detection)."""

from __future__ import annotations

import json

import pytest

from spade.data.codecs import read_panoptic
from spade.data.psg import load_psg
from spade.evaluation.predictions import Predictions
from spade.evaluation.protocols import OpenPsg


def evaluate(shared, kind):
    folder = shared / "eval_oracle"
    dataset = load_psg(folder)
    predictions = Predictions(folder / f"pred_{kind}.json", dataset)
    protocol = OpenPsg(dataset.classes, len(dataset.things), dataset.predicates, (20, 50, 100))
    for record in dataset.split("test"):
        protocol.add(record, read_panoptic(folder / record.panoptic_name), predictions.get(record))
    results = json.loads((folder / "results.json").read_text())[kind]
    return protocol, results


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_recall_equals_openpsg(shared, kind):
    protocol, results = evaluate(shared, kind)
    figures, reference = protocol.figures(), results["openpsg_panseg"]
    assert figures["images"] == reference["n_images_evaluated"]
    for name in ("R@20", "R@50", "R@100", "mR@20", "mR@50", "mR@100"):
        assert figures[name] == pytest.approx(reference[name], abs=1e-9), name
    assert figures["strict"]["R@20"] == pytest.approx(figures["R@20"] * 50 / 54)


def test_quality_equals_panopticapi(shared):
    protocol, results = evaluate(shared, "single")
    figures, reference = protocol.figures(), results["panopticapi_PQ"]
    for suffix, group in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        for name in ("pq", "sq", "rq"):
            assert figures[name.upper() + suffix] == pytest.approx(reference[group][name], abs=1e-9)
