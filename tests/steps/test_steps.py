"""The steps on a small world, through the workspace."""

from __future__ import annotations

import json
import shutil

import networkx as nx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import spade
from spade.config import CalibrateConfig, EvalConfig, ExportConfig, InvertConfig, PredictConfig, RelationsConfig
from spade.data.codecs import read_panoptic
from spade.data.psg import load_psg
from spade.errors import SpadeError
from spade.scene_graph import read_scene_graph
from spade.steps import calibrate, evaluate, export_graph, invert, predict, train_relations
from spade.steps.common import Memo, Run
from spade.steps.train_relations import annotation
from spade.workspace import Workspace


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_second_runs_are_cached(pipeline, world):
    run = pipeline["run"]
    again = [
        invert.run(InvertConfig(data=world), run),
        calibrate.run(CalibrateConfig(epochs=1), run),
        train_relations.run(RelationsConfig(epochs=1), run),
        evaluate.run(EvalConfig(data=world), run),
        export_graph.run(ExportConfig(), run),
    ]
    for result in again:
        assert result.cached
        assert result.key == pipeline[result.step].key
        assert dict(result.result) == dict(pipeline[result.step].result)


def test_inversion_keeps_a_map_for_every_mention(pipeline, world):
    dataset, result = load_psg(world), pipeline["invert"]
    rows = lines(result.path / "index.jsonl")
    records = [r for r in dataset.split("train") if r.training_triples()]
    assert [row["image_id"] for row in rows] == [r.image_id for r in records]
    for row, record in zip(rows, records, strict=True):
        assert len(row["spans"]) == 3 * len(record.training_triples())
        maps = load_file(result.path / row["file"])[row["tensor"]]
        assert maps.dtype == torch.float16
        assert maps.shape == (len(row["spans"]), 8, 8)
        assert (maps >= 0).all()
        assert maps.max() <= 1
        for span in row["spans"]:
            if span["segment"] >= 0:
                assert dataset.classes[record.segments[span["segment"]].category] == span["name"]
    plan = json.loads((result.path / "plan.json").read_text())
    assert [i for batch in plan["batches"] for i in batch] == [r.image_id for r in records]


def test_calibration_from_scratch_lowers_the_loss_on_watched_images(pipeline, world, tmp_path):
    source = pipeline["invert"]
    run = Run(Workspace(tmp_path))
    shutil.copytree(source.path, tmp_path / "invert" / source.key)
    result = calibrate.run(CalibrateConfig(epochs=6, init="scratch"), run)
    assert result.result["loss_after"] < 0.95 * result.result["loss_before"]
    curves = lines(result.path / "curves.jsonl")
    assert [row["epoch"] for row in curves] == list(range(7))
    assert not (result.path / "state.safetensors").exists()
    assert {"pytorch_lora_weights.safetensors", "adapter_config.json", "image_adapter.safetensors", "adapter.json"} == {
        p.name for p in (result.path / "adapter").iterdir()
    }


def test_training_from_scratch_learns(pipeline, tmp_path):
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    result = train_relations.run(RelationsConfig(epochs=3, init="scratch"), run)
    curves = lines(result.path / "curves.jsonl")
    for term in ("mask", "rel", "pair"):
        assert curves[-1][term] < curves[1][term], term


def test_a_trained_workspace_loads_and_equals_the_step(pipeline, world):
    model = spade.load(pipeline["run"].workspace.root)
    graph = model(world / "images" / "000004.png")
    written = read_scene_graph(pipeline["predict"].path / "000004.json")
    assert graph.triples() == written.triples()
    assert np.array_equal(graph.panoptic, written.panoptic)


def test_a_model_folder_can_be_moved(pipeline, world, tmp_path):
    shutil.copytree(pipeline["train-relations"].path, tmp_path / "mine")
    assert spade.load(tmp_path / "mine")(world / "images" / "000004.png").segments


def test_prediction_files(pipeline):
    folder = pipeline["predict"].path
    assert {p.name for p in folder.iterdir()} == {"000004.json", "000004.png", "000004.figure.png", "manifest.json"}
    figure = Image.open(folder / "000004.figure.png")
    assert figure.width > 3 * 400
    document = json.loads((folder / "000004.json").read_text())
    assert list(document) == ["version", "image", "model", "vocabulary", "panoptic", "segments", "relations"]


def test_evaluation_writes_rows_that_give_the_same_figures(pipeline, world):
    result = pipeline["eval"].result
    again = evaluate.run(EvalConfig(data=world, predictions=pipeline["eval"].path / "predictions.json"), pipeline["run"])
    for name in ("R@20", "mR@20", "PQ", "images", "skipped", "per_predicate"):
        assert again.result[name] == result[name]
    assert result["R@20"] > 0.2, "the packaged start has learned the world"
    assert result["PQ"] > 0.3
    json.dumps(result, allow_nan=False)


def test_graphml_is_what_was_predicted(pipeline):
    graph = read_scene_graph(pipeline["predict"].path / "000004.json")
    text = (pipeline["export-graph"].path / "000004.graphml").read_bytes()
    back = nx.parse_graphml(text.decode(), force_multigraph=True)
    assert {int(n): d["label"] for n, d in back.nodes(data=True)} == {s.id: s.label for s in graph.segments}
    edges = {(int(s), int(o), d["predicate"]) for s, o, d in back.edges(data=True)}
    assert edges == {(r.subject, r.object, r.predicate) for r in graph.relations}


def payload(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"}


def copied(world, tmp_path):
    shutil.copytree(world, tmp_path / "data")
    return tmp_path / "data"


def test_broken_and_absent_pictures_are_skipped_and_counted(world, tmp_path):
    data = copied(world, tmp_path)
    (data / "images" / "000000.png").write_bytes(b"rubbish")
    (data / "images" / "000001.png").unlink()
    Image.new("RGB", (10, 10)).save(data / "images" / "000002.png")
    result = invert.run(InvertConfig(data=data), Run(Workspace(tmp_path / "w")))
    assert result.result["images"] == 13
    text = " ".join(result.result["skipped"])
    assert "000000.png: this picture cannot be decoded" in text
    assert "000001.png: no such picture" in text
    assert "000002.png: is 10 x 10, the annotation says 128 x 128" in text
    with pytest.raises(SpadeError, match="--strict"):
        invert.run(InvertConfig(data=data, strict=True), Run(Workspace(tmp_path / "w"), force=True))


def test_nothing_usable_leaves_nothing_behind(world, tmp_path):
    data = copied(world, tmp_path)
    for picture in (data / "images").iterdir():
        picture.write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match=r"000000\.png: this picture cannot be decoded"):
        invert.run(InvertConfig(data=data), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()
    shutil.rmtree(data / "images")
    with pytest.raises(SpadeError, match="no such picture, nor any other of this data set; name the pictures' folder with --images"):
        invert.run(InvertConfig(data=data), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_pictures_elsewhere(world, tmp_path):
    shutil.copy(world / "psg.json", tmp_path / "psg.json")
    result = invert.run(InvertConfig(data=tmp_path / "psg.json", images=world, limit=3), Run(Workspace(tmp_path / "w")))
    assert result.result["images"] == 3


def test_a_resumed_inversion_has_the_same_bytes(world, tmp_path):
    config = InvertConfig(data=world, batch_size=3)
    whole = invert.run(config, Run(Workspace(tmp_path / "whole")))
    part = tmp_path / "part" / "invert" / whole.key
    shutil.copytree(whole.path, part)
    for name in ("manifest.json", "index.jsonl", "maps/000001.safetensors", "maps/000004.safetensors"):
        (part / name).unlink()
    (part / "maps" / "000001.safetensors.123.partial").write_bytes(b"half")
    kept = (part / "maps" / "000000.safetensors").stat().st_mtime_ns
    resumed = invert.run(config, Run(Workspace(tmp_path / "part")))
    assert not resumed.cached
    assert (part / "maps" / "000000.safetensors").stat().st_mtime_ns == kept
    assert payload(whole.path) == payload(resumed.path)


def test_a_damaged_cache_and_a_changed_data_set_are_refused(world, tmp_path):
    data = copied(world, tmp_path)
    run = Run(Workspace(tmp_path / "w"))
    made = invert.run(InvertConfig(data=data), run)
    target = made.path / "maps" / "000000.safetensors"
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + b"x")
    with pytest.raises(SpadeError, match=r"000000\.safetensors: this file was changed or damaged .* spade invert --force"):
        calibrate.run(CalibrateConfig(epochs=1), run)
    target.write_bytes(whole)
    (data / "images" / "000000.png").write_bytes(b"other")
    with pytest.raises(SpadeError, match="the data set changed since it was inverted"):
        calibrate.run(CalibrateConfig(epochs=1), run)


def test_a_step_without_its_input_names_the_command(tmp_path):
    run = Run(Workspace(tmp_path))
    with pytest.raises(SpadeError, match="run first: spade invert"):
        calibrate.run(CalibrateConfig(), run)
    with pytest.raises(SpadeError, match="run first: spade calibrate"):
        train_relations.run(RelationsConfig(), run)
    with pytest.raises(SpadeError, match="run first: spade predict"):
        export_graph.run(ExportConfig(), run)
    with pytest.raises(SpadeError, match="for example: spade eval data/psg"):
        evaluate.run(EvalConfig(), run)


def test_a_data_set_without_relations_is_refused(world, tmp_path):
    document = json.loads((world / "psg.json").read_text())
    for row in document["data"]:
        row["relations"] = []
    (tmp_path / "psg.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match="has no images with relations in the split 'train'"):
        invert.run(InvertConfig(data=tmp_path, images=world), Run(Workspace(tmp_path / "w")))


def test_predict_names_files_apart_and_skips_the_broken(world, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(world / "images" / "000004.png", tmp_path / folder / "x.png")
    (tmp_path / "b" / "broken.jpg").write_bytes(b"rubbish")
    config = PredictConfig(images=(str(tmp_path / "a"), str(tmp_path / "b" / "*")), output=tmp_path / "out")
    result = predict.run(config, Run(Workspace(tmp_path / "w")))
    assert result.result["graphs"] == ["x.json", "x-2.json"]
    assert "broken.jpg" in result.result["skipped"][0]
    assert read_scene_graph(tmp_path / "out" / "x-2.json").segments
    # A picture named like another's map or figure may not overwrite it.
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_predict_on_a_data_set_takes_its_test_pictures(world, tmp_path):
    result = predict.run(PredictConfig(images=(str(world),)), Run(Workspace(tmp_path)))
    assert result.result["graphs"] == [f"{i:06d}.json" for i in (4, 9, 14, 19)]


def test_predict_with_a_broken_picture_alone_leaves_nothing(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match=r"broken\.jpg: this picture cannot be decoded"):
        predict.run(PredictConfig(images=(str(tmp_path / "broken.jpg"),)), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def bad_prediction(change):
    segment = {"layer": 0, "id": 1, "category_id": 0, "isthing": 1, "score": 1.0}
    row = {"image_id": "4", "height": 128, "width": 128, "pan_seg_file_names": ["m.png"], "segments_info": [segment], "relations": []}
    return row | change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pan_seg_file_names": ["../m.png"]}, "leaves its folder"),
        ({"pan_seg_file_names": ["none.png"]}, "no such panoptic png"),
        ({"segments_info": [{"layer": 0, "id": 1, "category_id": 99, "score": 1}]}, "image 4: .*category_id 99 is out of range"),
        ({"segments_info": [{"layer": 3, "id": 1, "category_id": 0, "score": 1}]}, "layer 3 is out of range"),
        ({"segments_info": [{"layer": 0, "id": 1, "category_id": 0, "score": float("nan")}]}, "a score is not finite"),
        ({"relations": [{"subject": 0, "object": 1, "scores": [0.1] * 15}]}, "index is out of range"),
        ({"relations": [{"subject": 0, "object": 0, "scores": [0.1] * 3}]}, "a row has 3 scores, the data set 15 predicates"),
        ({"relations": [{"subject": 0}]}, "image 4: KeyError"),
    ],
)
def test_bad_predictions_name_image_and_field(world, tmp_path, change, message):
    from spade.data.codecs import write_panoptic

    write_panoptic(tmp_path / "m.png", np.ones((128, 128), np.uint32))
    (tmp_path / "p.json").write_text(json.dumps({"predictions": [bad_prediction(change)]}))
    with pytest.raises(SpadeError, match=message):
        evaluate.run(EvalConfig(data=world, predictions=tmp_path / "p.json"), Run(Workspace(tmp_path / "w")))
    lenient = EvalConfig(data=world, predictions=tmp_path / "p.json", lenient=True)
    result = evaluate.run(lenient, Run(Workspace(tmp_path / "w"), force=True)).result
    assert len(result["problems"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid json"),
        ("[]", "has no list under predictions"),
        ('{"predictions": [{}]}', r"predictions\[0\] has no image_id"),
        ('{"predictions": [{"image_id": "4"}, {"image_id": "4"}]}', "image 4 occurs twice"),
        ('{"predictions": [{"image_id": "elsewhere"}]}', "none of its images is in"),
    ],
)
def test_bad_prediction_files(world, tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SpadeError, match=message):
        evaluate.run(EvalConfig(data=world, predictions=tmp_path / "p.json"), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_annotation_shrinks_and_drops_crowds(world):
    dataset = load_psg(world)
    record = dataset.records[0]
    ids = read_panoptic(dataset.panoptic_path(record))
    masks, classes, triples = annotation(record, ids, (128, 128))
    assert torch.equal(masks, torch.from_numpy(np.stack([ids == s.id for s in record.segments])))
    assert classes.tolist() == [s.category for s in record.segments]
    assert triples.tolist() == [list(t) for t in record.training_triples()]
    small, _, _ = annotation(record, ids, (64, 96))
    assert small.shape[1:] == (96, 64)
    import dataclasses

    crowd = dataclasses.replace(record, segments=(dataclasses.replace(record.segments[0], is_crowd=True), *record.segments[1:]))
    fewer, _, _ = annotation(crowd, ids, (128, 128))
    assert len(fewer) == len(masks) - 1


def test_memo_computes_alone_and_keeps_to_its_budget():
    asked = []
    memo = Memo(lambda i: asked.append(i) or i * 10, lambda value: 4, budget=9)
    assert [memo[i] for i in (1, 2, 3, 1, 2, 3)] == [10, 20, 30, 10, 20, 30]
    assert asked == [1, 2, 3, 3]


def test_real_psg_format(shared, tmp_path):
    data = shared / "data" / "psg_mini"
    result = invert.run(InvertConfig(data=data), Run(Workspace(tmp_path)))
    dataset = load_psg(data)
    records = {r.image_id: r for r in dataset.split("train")}
    rows = lines(result.path / "index.jsonl")
    assert {row["image_id"] for row in rows} == set(records)
    sizes = set()
    for row in rows:
        mentions = 3 * len(records[row["image_id"]].training_triples())
        maps = load_file(result.path / row["file"])[row["tensor"]]
        assert len(row["spans"]) == len(maps) == mentions
        sizes.add(tuple(maps.shape[1:]))
    assert len(sizes) > 1, "pictures keep their own shapes"


def test_coco_panoptic_has_no_relations(shared, tmp_path):
    with pytest.raises(SpadeError, match=r"panoptic\.json: is a COCO annotation file; it has no relations"):
        invert.run(InvertConfig(data=shared / "data" / "coco_panoptic_sample"), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_photographs_give_valid_files(shared, tmp_path):
    photos = shared / "data" / "photos"
    result = predict.run(PredictConfig(images=(str(photos),)), Run(Workspace(tmp_path)))
    assert len(result.result["graphs"]) == 8
    for name in result.result["graphs"]:
        graph = read_scene_graph(result.path / name)
        assert Image.open(photos / graph.file_name).size == (graph.width, graph.height)
