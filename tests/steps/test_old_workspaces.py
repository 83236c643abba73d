"""Workspaces that earlier versions left: what can be read is the newest like any other, what cannot is a sentence."""

from __future__ import annotations

import json
import shutil

import pytest

import spade
from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.models.checkpoint import find_model, inputs_of, newest_model, packaged, read_box_model
from spade.steps import calibrate, maps, predict
from spade.steps.common import Run
from spade.steps.config import MapsConfig, PredictConfig
from spade.steps.results import TrainRelationsResult
from tests.configs import calibrating


def rewritten(pipeline, tmp_path, step, change):
    """A workspace with a copy of the pipeline's results up to this step, whose manifest is as ``change`` leaves it."""
    for own in ("invert", "calibrate", "train-relations"):
        shutil.copytree(pipeline[own].path, tmp_path / own / pipeline[own].key)
        if own == step:
            break
    path = tmp_path / step / pipeline[step].key / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["result"])
    path.write_text(json.dumps(manifest))
    return Run(Workspace(tmp_path))


def old_names(result):
    for new, old in (
        ("train_images", "learned_from"),
        ("validation_images", "watched"),
        ("validation_before", "watched_before"),
        ("validation_after", "watched_after"),
    ):
        if new in result:
            result[old] = result.pop(new)


def test_results_under_their_old_names_are_read(pipeline, world, tmp_path):
    run = rewritten(pipeline, tmp_path, "train-relations", old_names)
    artifact = newest_model(run.workspace, ("image",))
    assert TrainRelationsResult.of(artifact) == pipeline["train-relations"].result
    done = predict.run(PredictConfig(images=(str(world / "images" / "000004.png"),)), run)
    assert done.result.model == str(artifact.path)


def test_maps_of_an_old_calibration(pipeline, tmp_path):
    run = rewritten(pipeline, tmp_path, "calibrate", old_names)
    assert maps.run(MapsConfig(), run).result.images == maps.run(MapsConfig(), pipeline["run"]).result.images


def test_a_result_that_cannot_be_read_is_refused_with_the_command(pipeline, tmp_path):
    run = rewritten(pipeline, tmp_path, "invert", lambda result: result.pop("backbone"))
    with pytest.raises(SpadeError, match=r"invert/\w+: this result of an older version cannot be read .*spade invert"):
        calibrate.run(calibrating(epochs=1), run)
    assert [path.name for path in tmp_path.iterdir()] == ["invert"]


def test_relations_of_boxes_that_train_relations_made_count_as_such(pipeline, tmp_path):
    """They stood beside the models of images once, with the weights under another name."""
    run = rewritten(pipeline, tmp_path, "train-relations", old_names)
    old = tmp_path / "train-relations" / "0123456789ab"
    shutil.copytree(packaged("boxes"), old)
    weights = read_box_model(packaged("boxes")).weights
    if weights.name != "layout.safetensors":
        (old / weights.name).rename(old / "layout.safetensors")
    manifest = json.loads(
        (tmp_path / "train-relations" / pipeline["train-relations"].key / "manifest.json").read_text()
    )
    manifest |= {"key": old.name, "result": {"nodes": "layout", "data": "x"}, "finished": "2030-01-01T00:00:00+00:00"}
    manifest["files"] = {}
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert inputs_of(newest_model(run.workspace, ("boxes",))) == "boxes"
    assert newest_model(run.workspace, ("boxes",)).path == old
    assert newest_model(run.workspace, ("image",)).key == pipeline["train-relations"].key
    assert find_model(tmp_path, ("boxes",)) == old
    assert spade.load_relation_predictor(tmp_path).vocabulary == spade.load_relation_predictor().vocabulary


def test_a_model_with_a_part_that_is_gone_is_refused(tmp_path):
    shutil.copytree(packaged("boxes"), tmp_path / "m")
    facts = json.loads((tmp_path / "m" / "model.json").read_text())
    assert facts["format"] == 2
    (tmp_path / "m" / "model.json").write_text(json.dumps(facts | {"relations": facts["relations"] | {"gate": True}}))
    with pytest.raises(SpadeError, match=r"model.json: has gate, which this version of spade no longer builds"):
        spade.load_relation_predictor(tmp_path / "m")
