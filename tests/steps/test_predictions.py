"""Score vectors are made once: for every ``top`` and ``min_score``, and for predict and eval alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spade.core.workspace import Workspace
from spade.models.predictor import SceneGraphPredictor
from spade.steps import evaluate, predict
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig


@pytest.fixture
def no_network(monkeypatch):
    """From here on nothing may be predicted."""

    def refuse(*_, **__):
        raise AssertionError("a network ran")

    def forbid():
        monkeypatch.setattr(SceneGraphPredictor, "predict", refuse)
        monkeypatch.setattr(SceneGraphPredictor, "segment", refuse)

    return forbid


def test_another_top_runs_no_network(world, tmp_path, no_network):
    run, image = Run(Workspace(tmp_path / "w")), str(world / "images" / "000004.png")
    many = predict.run(PredictConfig(images=(image,), top=50, min_score=0.0), run)
    no_network()
    few = predict.run(PredictConfig(images=(image,), top=2, min_score=0.0), run)
    assert few.key != many.key
    first, second = (json.loads((Path(own.path) / "000004.json").read_text()) for own in (many, few))
    assert first["segments"] == second["segments"]
    assert second["relations"] == first["relations"][:2]
    assert (few.path / "000004.png").read_bytes() == (many.path / "000004.png").read_bytes()
    with pytest.raises(AssertionError, match="a network ran"):
        predict.run(PredictConfig(images=(str(world / "images" / "000009.png"),)), run)
    none = predict.run(PredictConfig(images=(image,), min_score=1.0), run)
    assert json.loads((none.path / "000004.json").read_text())["relations"] == []


def test_predict_and_eval_share_them(world, tmp_path, no_network):
    run = Run(Workspace(tmp_path / "w"))
    evaluated = evaluate.run(EvalConfig(data=world), run)
    no_network()
    done = predict.run(PredictConfig(images=(str(world),)), run)
    assert len(done.result.graphs) == evaluated.result.metrics["images"]
    again = evaluate.run(EvalConfig(data=world, protocol="sgbench"), run)
    assert again.result.metrics["predictions"] == evaluated.result.metrics["predictions"]


def test_an_unfinished_image_is_predicted_again(world, tmp_path):
    """The store keeps an image once all of it is there; what a killed run left is not taken for whole."""
    run = Run(Workspace(tmp_path / "w"))
    images = tuple(str(world / "images" / f"{n:06d}.png") for n in (4, 9))
    whole = predict.run(PredictConfig(images=images), run)
    (store,) = (tmp_path / "w" / "predictions").iterdir()
    kept = {path.relative_to(store): path.read_bytes() for path in store.rglob("*.png")}
    shutil.rmtree(tmp_path / "w" / "predict")
    (store / "manifest.json").unlink()
    for path in sorted(store.rglob("*.png"))[:1]:
        path.unlink()
    again = predict.run(PredictConfig(images=images), run)
    assert again.result == whole.result
    assert {path.relative_to(store): path.read_bytes() for path in store.rglob("*.png")} == kept
