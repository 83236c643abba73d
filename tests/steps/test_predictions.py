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


def test_an_image_that_is_annotated_twice_is_asked_twice(world, tmp_path):
    shutil.copytree(world, tmp_path / "data")
    document = json.loads((world / "psg.json").read_text())
    first = next(record for record in document["data"] if record["image_id"] == document["test_image_ids"][0])
    document["data"].append(first | {"image_id": "again"})
    document["test_image_ids"].append("again")
    (tmp_path / "data" / "psg.json").write_text(json.dumps(document))
    run = Run(Workspace(tmp_path / "w"))
    metrics = evaluate.run(EvalConfig(data=tmp_path / "data"), run).result.metrics
    assert (metrics["images"], metrics["skipped"]) == (5, 0)
    done = predict.run(PredictConfig(images=(str(tmp_path / "data"),)), run)
    rows = Path(done.result.predictions).read_text().splitlines()[1:]
    assert sorted(json.loads(row)["image_id"] for row in rows) == ["14", "19", "4", "9", "again"]


def test_what_is_written_does_not_depend_on_what_was_asked_before(world, tmp_path):
    image = (str(world / "images" / "000004.png"),)
    one, other = (Run(Workspace(tmp_path / name)) for name in ("one", "other"))
    config = PredictConfig(images=image, top=50, min_score=0.0)
    predict.run(PredictConfig(images=image, top=1), other)
    first, second = (predict.run(config, run).path / "000004.json" for run in (one, other))
    assert first.read_bytes() == second.read_bytes()


def test_score_vectors_of_many_images_are_not_kept(world, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "MOST_KEPT", 1)
    run = Run(Workspace(tmp_path / "w"))
    images = tuple(str(world / "images" / f"{n:06d}.png") for n in (4, 9))
    done = predict.run(PredictConfig(images=images), run)
    assert len(done.result.graphs) == 2
    assert not (tmp_path / "w" / "predictions").exists()
    assert predict.run(PredictConfig(images=images), run).cached
    predict.run(PredictConfig(images=(str(world),)), run)
    assert (tmp_path / "w" / "predictions").exists(), "those of a data set are"
