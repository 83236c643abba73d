from __future__ import annotations

import shutil

import numpy as np
import pytest

import spade
from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.steps import calibrate, evaluate, export_graph, invert, train_relations
from spade.steps.common import Run
from spade.steps.config import EvalConfig, ExportConfig
from spade.structures.scene_graph_json import read_scene_graph
from tests.configs import calibrating, inverting, relating


def test_second_runs_are_cached(pipeline, world):
    run = pipeline["run"]
    again = [
        invert.run(inverting(data=world), run),
        calibrate.run(calibrating(epochs=1), run),
        train_relations.run(relating(epochs=1), run),
        evaluate.run(EvalConfig(data=world), run),
        export_graph.run(ExportConfig(), run),
    ]
    for result in again:
        assert result.cached
        assert result.key == pipeline[result.step].key
        assert result.result == pipeline[result.step].result


def test_a_trained_workspace_loads_and_equals_the_step(pipeline, world):
    model = spade.load(pipeline["run"].workspace.root)
    graph = model(world / "images" / "000004.png")
    written = read_scene_graph(pipeline["predict"].path / "000004.json")
    assert graph.triples() == written.triples()
    assert np.array_equal(graph.panoptic, written.panoptic)


def test_a_model_folder_can_be_moved(pipeline, world, tmp_path):
    shutil.copytree(pipeline["train-relations"].path, tmp_path / "mine")
    assert spade.load(tmp_path / "mine")(world / "images" / "000004.png").segments


def test_a_step_without_its_input_names_the_command(tmp_path):
    run = Run(Workspace(tmp_path))
    with pytest.raises(SpadeError, match="run first: spade invert"):
        calibrate.run(calibrating(), run)
    with pytest.raises(SpadeError, match="run first: spade calibrate"):
        train_relations.run(relating(), run)
    with pytest.raises(SpadeError, match="run first: spade predict"):
        export_graph.run(ExportConfig(), run)
    with pytest.raises(SpadeError, match="for example: spade eval data/psg"):
        evaluate.run(EvalConfig(), run)
