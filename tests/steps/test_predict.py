from __future__ import annotations

import json
import shutil

import networkx as nx
import pytest
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.steps import evaluate, predict
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig
from spade.structures.scene_graph_json import read_scene_graph


def test_prediction_files(pipeline):
    folder = pipeline["predict"].path
    assert {p.name for p in folder.iterdir()} == {
        ".lock",
        "000004.json",
        "000004.png",
        "000004.figure.png",
        "manifest.json",
        "page.html",
    }
    figure = Image.open(folder / "000004.figure.png")
    assert figure.width > 2 * 430
    result = pipeline["predict"].result
    graph = read_scene_graph(folder / "000004.json")
    assert (result.page, result.segments, result.relations) == ("page.html", len(graph.segments), len(graph.relations))
    document = json.loads((folder / "000004.json").read_text())
    assert list(document) == ["version", "image", "model", "vocabulary", "panoptic", "segments", "relations"]


def test_graphml_is_what_was_predicted(pipeline):
    graph = read_scene_graph(pipeline["predict"].path / "000004.json")
    text = (pipeline["export-graph"].path / "000004.graphml").read_bytes()
    back = nx.parse_graphml(text.decode(), force_multigraph=True)
    assert {int(n): d["label"] for n, d in back.nodes(data=True)} == {s.id: s.label for s in graph.segments}
    edges = {(int(s), int(o), d["predicate"]) for s, o, d in back.edges(data=True)}
    assert edges == {(r.subject, r.object, r.predicate) for r in graph.relations}


def test_predict_names_files_apart_and_skips_the_broken(world, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(world / "images" / "000004.png", tmp_path / folder / "x.png")
    (tmp_path / "b" / "broken.jpg").write_bytes(b"rubbish")
    config = PredictConfig(images=(str(tmp_path / "a"), str(tmp_path / "b" / "*")), output=tmp_path / "out")
    result = predict.run(config, Run(Workspace(tmp_path / "w")))
    assert result.result.graphs == ["x.json", "x-2.json"]
    assert "broken.jpg" in result.result.skipped[0]
    assert read_scene_graph(tmp_path / "out" / "x-2.json").segments
    # An image named like another's map or figure may not overwrite it.
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_predict_on_a_data_set_takes_its_test_images(world, tmp_path):
    result = predict.run(PredictConfig(images=(str(world),)), Run(Workspace(tmp_path)))
    assert result.result.graphs == [f"{i:06d}.json" for i in (4, 9, 14, 19)]


def test_predict_with_a_broken_image_alone_leaves_nothing(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match=r"broken\.jpg: this image cannot be decoded"):
        predict.run(PredictConfig(images=(str(tmp_path / "broken.jpg"),)), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_photographs_give_valid_files(shared, tmp_path):
    photos = shared / "data" / "photos"
    result = predict.run(PredictConfig(images=(str(photos),)), Run(Workspace(tmp_path)))
    assert len(result.result.graphs) == 8
    for name in result.result.graphs:
        graph = read_scene_graph(result.path / name)
        assert Image.open(photos / graph.file_name).size == (graph.width, graph.height)


def test_no_output_meets_another(world, tmp_path):
    for name in ("manifest.png", "x.png", "x.figure.png"):
        shutil.copy(world / "images" / "000004.png", tmp_path / name)
    result = predict.run(PredictConfig(images=(str(tmp_path / "*.png"),)), Run(Workspace(tmp_path / "w")))
    assert len(result.result.graphs) == 3
    for name in result.result.graphs:
        assert read_scene_graph(result.path / name).segments
    assert "key" in json.loads((result.path / "manifest.json").read_text())


def test_strict_holds_for_cached_results(world, tmp_path):
    shutil.copy(world / "images" / "000004.png", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"rubbish")
    run, images = Run(Workspace(tmp_path / "w")), (str(tmp_path / "*.png"),)
    predict.run(PredictConfig(images=images), run)
    assert predict.run(PredictConfig(images=images), run).cached
    with pytest.raises(SpadeError, match=r"b\.png: this image cannot be decoded.*`strict`"):
        predict.run(PredictConfig(images=images, strict=True), run)


def test_from_and_model_exclude_each_other(pipeline, world):
    run = Run(pipeline["run"].workspace, source="abc")
    with pytest.raises(SpadeError, match="`source=abc`: a command with a model takes no input artifact"):
        predict.run(PredictConfig(images=(str(world),), model=pipeline["train-relations"].path), run)


def test_denoising_without_predicates_to_tell_apart_is_refused(world, tmp_path):
    run, scene = Run(Workspace(tmp_path / "w")), str(world / "images" / "000004.png")
    asked = {"denoised_pairs": 1}
    (tmp_path / "one.txt").write_text("beside\njuggling\n")
    for more in ({}, {"predicates": tmp_path / "one.txt"}):
        with pytest.raises(SpadeError, match="`denoised_pairs=1`: tells predicates apart that training did not have"):
            predict.run(PredictConfig(images=(scene,), settings=asked, **more), run)
    with pytest.raises(SpadeError, match="fewer than two of these are asked for; leave it out"):
        evaluate.run(EvalConfig(data=world, settings=asked), run)
    (tmp_path / "two.txt").write_text("beside\njuggling\ntickling\n")
    config = PredictConfig(images=(scene,), settings=asked, predicates=tmp_path / "two.txt")
    assert predict.run(config, run).result.graphs == ["000004.json"]
