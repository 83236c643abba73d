"""The relations of labels and boxes that come with the package."""

import json

import numpy as np

import spade
from spade.core.files import sha256_file
from spade.core.workspace import Workspace
from spade.models.checkpoint import packaged
from spade.steps import evaluate, predict
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.scene_graph_json import read_scene_graph

FOLDER = packaged("boxes")
MANIFEST = json.loads((FOLDER / "manifest.json").read_text("utf-8"))


def test_files_are_those_of_the_manifest_and_small():
    assert {p.name for p in FOLDER.iterdir()} == {"manifest.json", *MANIFEST["files"]}
    for name, facts in MANIFEST["files"].items():
        assert sha256_file(FOLDER / name) == facts["sha256"]
        assert (FOLDER / name).stat().st_size == facts["bytes"]
    assert {p.suffix for p in FOLDER.iterdir()} == {".json", ".safetensors"}
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) < 10_000_000


def image(*segments):
    """A graph without relations: label, thing or not, and a box in an image of 400 x 300."""
    found = [
        Segment(i + 1, label, 0, thing, 1.0, box, int(0.7 * (box[2] - box[0]) * (box[3] - box[1])))
        for i, (label, thing, box) in enumerate(segments)
    ]
    return SceneGraph("a.jpg", 400, 300, tuple(found), (), (), (), np.zeros((300, 400), np.uint32))


RIDER = image(
    ("person", True, (150, 60, 220, 190)),
    ("horse", True, (100, 120, 280, 280)),
    ("grass-merged", False, (0, 180, 400, 300)),
    ("sky-other-merged", False, (0, 0, 400, 120)),
)


def test_it_says_of_a_rider_what_a_person_would():
    graph = spade.load_relation_predictor(logit_adjustment=0)(RIDER, min_score=0.0)
    best = {(s, o): p for s, p, o in reversed(graph.triples())}
    assert best["person", "horse"] == "riding"
    assert best["horse", "grass-merged"] in ("standing on", "walking on", "running on", "on")
    assert best["sky-other-merged", "grass-merged"] == "over"


def test_its_figures_can_be_had_again_from_real_records(shared, tmp_path):
    """Images that were not learned from: more of what people annotated in them is found than by the frequency of
    labels (47 %).
    """
    result = evaluate.run(
        EvalConfig(data=shared / "data" / "psg_mini", mode="predcls", model=FOLDER, settings={"logit_adjustment": 0.0}),
        Run(Workspace(tmp_path)),
    )
    assert result.result.metrics["R@20"] > 0.47
    assert result.result.metrics["images"] == 4


def test_a_photograph_with_its_segments_needs_no_training(shared, tmp_path):
    data = shared / "data" / "psg_mini"
    config = PredictConfig(images=(str(data / "train2017" / "000000000431.jpg"),), segments=data / "psg.json")
    graph = read_scene_graph(predict.run(config, Run(Workspace(tmp_path / "w"))).path / "000000000431.json")
    assert ("person", "holding", "tennis racket") in graph.triples()
    assert graph.model["name"] == "packaged"
