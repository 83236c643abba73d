"""Every command on data sets in the field's other forms: Visual Genome's boxes, and COCO with masks and relations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spade
from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.readers import load_dataset
from spade.export.graph_files import FORMATS
from spade.steps import calibrate, evaluate, export_graph, invert, maps, predict, train_boxes, train_relations
from spade.steps.common import Run
from spade.steps.config import EvalConfig, ExportConfig, MapsConfig, PredictConfig
from spade.structures.scene_graph_json import read_scene_graph
from tests.configs import boxing, calibrating, inverting, relating
from tests.data.miniatures import write_coco, write_vg
from tests.steps.helpers import lines, payload


@pytest.fixture(scope="module")
def vg(world, tmp_path_factory):
    """A model of boxes, trained for an epoch on the miniature of Visual Genome."""
    folder = tmp_path_factory.mktemp("boxes")
    write_vg(world, folder / "vg")
    run = Run(Workspace(folder / "workspace"))
    return {
        "data": folder / "vg",
        "run": run,
        "invert": invert.run(inverting(data=folder / "vg"), run),
        "calibrate": calibrate.run(calibrating(epochs=1), run),
        "train-relations": train_relations.run(relating(epochs=1), run),
    }


def test_the_steps_of_a_training_on_boxes(vg):
    assert vg["invert"].result.images == 13, "one is cut off, one of another size, one is for validation"
    assert 0 < vg["calibrate"].result.chance < 1, "filled boxes stand for masks in the pointing game"
    trained = vg["train-relations"].result
    assert trained.init == "scratch", "the packaged heads find masks"
    with pytest.raises(SpadeError, match=r"^`init=embedded`: the packaged heads find masks, and .* has boxes;"):
        train_relations.run(relating(epochs=1, init="embedded"), vg["run"])
    assert "PQ" not in trained.validation_after, "boxes have no panoptic quality"
    assert trained.validation_after["InstR"] >= 0
    facts = json.loads((vg["train-relations"].path / "model.json").read_text())
    assert facts["heads"]["proposer"]["boxes"] is True
    figures = maps.run(MapsConfig(), vg["run"]).result.figures
    assert figures


def test_a_model_of_boxes_predicts_boxes(vg, tmp_path):
    image = vg["data"] / "VG_100K" / "100004.jpg"
    config = PredictConfig(images=(str(image),), min_score=0.0, output=tmp_path / "out")
    done = predict.run(config, vg["run"])
    graph = read_scene_graph(tmp_path / "out" / "100004.json")
    assert json.loads((tmp_path / "out" / "100004.json").read_text())["panoptic"] is None
    assert not (tmp_path / "out" / "100004.png").exists()
    assert graph.panoptic is None
    assert len(graph.segments) > 1
    assert graph.relations
    for segment in graph.segments:
        x1, y1, x2, y2 = segment.bbox
        assert 0 <= x1 < x2 <= 128
        assert 0 <= y1 < y2 <= 128
        assert segment.area == (x2 - x1) * (y2 - y1)
    again = spade.load(vg["run"].workspace.root)(image, min_score=0.0)
    assert [s.bbox for s in again.segments] == [s.bbox for s in graph.segments]
    assert predict.run(config, vg["run"]).cached
    assert done.result.page == "page.html"


def test_every_export_of_boxes(vg, tmp_path):
    predict.run(PredictConfig(images=(str(vg["data"] / "VG_100K" / "100004.jpg"),), min_score=0.0), vg["run"])
    for name in FORMATS:
        files = export_graph.run(ExportConfig(format=name, output=tmp_path / name), vg["run"]).result.files
        assert files, name
    document = json.loads(next((tmp_path / "coco").rglob("*.json")).read_text())
    assert all(row["segmentation"] == [] for row in document["annotations"])
    graph = spade.load(vg["run"].workspace.root)(vg["data"] / "VG_100K" / "100004.jpg")
    assert 'fill="none" stroke-width="2.5"' in graph.save(tmp_path / "a.svg").read_text()
    assert '"boxes": true' in graph.save(tmp_path / "a.html").read_text()


def test_evaluation_goes_by_visual_genomes_protocol(vg):
    found = evaluate.run(EvalConfig(data=vg["data"]), vg["run"])
    metrics = found.result.metrics
    assert (metrics["protocol"], metrics["PQ"]) == ("vg", None)
    assert metrics["images"] + metrics["without_relations"] == 4
    path = Path(metrics["predictions"])
    rows = lines(path)[1:]
    assert all(row["pan_seg_file_names"] == [] and "bbox" in row["segments_info"][0] for row in rows)
    from_file = evaluate.run(EvalConfig(data=vg["data"], predictions=path), vg["run"]).result.metrics
    assert [from_file[n] for n in ("R@20", "mR@50", "InstR")] == [metrics[n] for n in ("R@20", "mR@50", "InstR")]
    given = evaluate.run(EvalConfig(data=vg["data"], mode="predcls"), vg["run"]).result.metrics
    assert given["InstR"] == 1.0
    fair = evaluate.run(EvalConfig(data=vg["data"], protocol="single-mpo"), vg["run"]).result.metrics
    assert fair["protocol"] == "single-mpo"


def test_relations_of_labels_and_boxes_alone(vg):
    done = train_boxes.run(boxing(data=vg["data"], epochs=1), vg["run"])
    config = EvalConfig(data=vg["data"], model=str(done.path), mode="predcls")
    assert evaluate.run(config, vg["run"]).result.metrics["protocol"] == "vg"


def test_a_split_on_boxes(vg, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"novel_objects": ["dog"], "novel_predicates": ["on"]}))
    config = EvalConfig(data=vg["data"], split_list=str(tmp_path / "mine.json"))
    table = evaluate.run(config, vg["run"]).result.metrics["open_vocabulary"]
    assert {row["protocol"] for row in table["rows"]} == {"vg", "single-mpo"}
    assert table["trained_on_novel"] == ["dog", "on"]


def test_coco_with_masks_gives_what_psg_gives(pipeline, world, tmp_path):
    write_coco(world, tmp_path / "coco")
    run = pipeline["run"]
    ours = evaluate.run(EvalConfig(data=tmp_path / "coco"), run).result.metrics
    theirs = evaluate.run(EvalConfig(data=world), run).result.metrics
    for name in ("R@20", "mR@50", "ngR@100", "PR@20", "PQ", "PQ_things", "SQ", "InstR"):
        assert ours[name] == theirs[name], name
    assert ours["account"] == theirs["account"]
    assert ours["groups"] == theirs["groups"]
    other = Run(Workspace(tmp_path / "w"))
    teacher = invert.run(inverting(data=tmp_path / "coco"), other)
    assert payload(teacher.path) == payload(pipeline["invert"].path), "the same prompts, images and maps"


def test_segments_of_coco_train_the_same_heads(world, tmp_path):
    from spade.core.weights import read_tensors

    write_coco(world, tmp_path / "coco")
    heads = []
    for data in (world, tmp_path / "coco"):
        run = Run(Workspace(tmp_path / data.name))
        invert.run(inverting(data=data, limit=6), run)
        calibrate.run(calibrating(epochs=1), run)
        done = train_relations.run(relating(epochs=1, limit=6), run)
        heads.append(read_tensors(done.path / "heads.safetensors", "again"))
    for name, tensor in heads[0].items():
        assert np.array_equal(np.asarray(tensor), np.asarray(heads[1][name])), name


def test_masks_and_boxes_are_not_mixed(vg, world):
    from spade.core.errors import SpadeError

    with pytest.raises(SpadeError, match=r"`masks_from=tiny`: finds masks, and .*\.h5 has boxes; leave it out"):
        train_relations.run(relating(data=vg["data"], masks_from="tiny"), vg["run"])
    found = load_dataset(vg["data"])
    assert replace(found, records=()).vocabulary.predicates == load_dataset(world).predicates
