from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import spade
from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.models.checkpoint import find_model, packaged
from spade.segmentation.given import GivenSegments
from spade.steps import evaluate, predict, train_boxes
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph import SceneGraph, Segment
from spade.structures.scene_graph_json import read_scene_graph
from tests.configs import boxing
from tests.segmentation.test_pretrained import mask2former

SMALL = {"width": 32, "layers": 1, "batch_size": 4}


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    run = Run(Workspace(tmp_path_factory.mktemp("layout") / "w"))
    return run, train_boxes.run(boxing(data=world, epochs=3, **SMALL), run)


def payload(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("manifest.json", ".lock")}


def test_what_is_written(trained):
    _, done = trained
    assert {
        "boxes.safetensors",
        "model.json",
        "curves.jsonl",
        "curves.png",
        "adjustment.jsonl",
        "adjustment.png",
    } <= set(payload(done.path))
    facts = json.loads((done.path / "model.json").read_text())
    assert facts["inputs"] == "boxes"
    assert facts["logit_adjustment"] == done.result.logit_adjustment
    rows = [json.loads(line) for line in (done.path / "adjustment.jsonl").read_text().splitlines()]
    best = max(row["R@20"] + row["mR@20"] for row in rows)
    assert next(r["R@20"] + r["mR@20"] for r in rows if r["logit_adjustment"] == facts["logit_adjustment"]) == best
    curves = [json.loads(line) for line in (done.path / "curves.jsonl").read_text().splitlines()]
    assert curves[-1]["rel"] < curves[1]["rel"], "it learns"


def test_without_a_graph_transformer(world, tmp_path):
    done = train_boxes.run(boxing(data=world, epochs=1, **SMALL | {"layers": 0}), Run(Workspace(tmp_path / "w")))
    assert json.loads((done.path / "model.json").read_text())["relations"]["layers"] == 0


def test_where_no_validation_relation_is_found_the_random_start_is_not_kept(world, tmp_path, monkeypatch):
    """As on a set of a few images, whose validation part is too small to show anything."""
    from spade.training.boxes import BoxTraining

    monkeypatch.setattr(BoxTraining, "validate", lambda self: {"score": 0.0})
    said = []
    run = Run(Workspace(tmp_path / "w"))
    monkeypatch.setattr(run.report, "say", said.append)
    done = train_boxes.run(boxing(data=world, epochs=2, **SMALL), run)
    assert done.result.best_epoch == 2
    assert "no epoch bettered the untrained start" in said[-1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_a_killed_run_ends_in_them(trained, world, tmp_path, monkeypatch):
    _, done = trained
    config = boxing(data=world, epochs=3, **SMALL)
    again = train_boxes.run(config, Run(Workspace(tmp_path / "again")))
    assert payload(again.path) == payload(done.path)

    from spade.training.boxes import BoxTraining

    losses, seen = BoxTraining.losses, []

    def killed(self, batch):
        seen.append(batch)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return losses(self, batch)

    monkeypatch.setattr(BoxTraining, "losses", killed)
    run = Run(Workspace(tmp_path / "killed"))
    with pytest.raises(KeyboardInterrupt):
        train_boxes.run(config, run)
    monkeypatch.setattr(BoxTraining, "losses", losses)
    assert payload(train_boxes.run(config, run).path) == payload(done.path)


def test_eval_takes_it_in_predcls_and_only_there(trained, world):
    run, done = trained
    result = evaluate.run(EvalConfig(data=world, mode="predcls"), run).result
    assert result.metrics["model"] == str(done.path)
    with pytest.raises(SpadeError, match=r"finds none; use `mode=predcls`"):
        evaluate.run(EvalConfig(data=world, model=done.path), Run(run.workspace))


def test_predict_relates_given_segments(trained, world, tmp_path):
    run, done = trained
    scene = world / "images" / "000004.png"
    config = PredictConfig(images=(str(scene),), segments=world / "psg.json", min_score=0.0)
    found = read_scene_graph(predict.run(config, run).path / "000004.json")
    record = next(
        r for r in json.loads((world / "psg.json").read_text())["data"] if r["file_name"].endswith("000004.png")
    )
    assert {s.id for s in found.segments} == {s["id"] for s in record["segments_info"]}
    assert found.model["name"] == done.path.name
    assert found.relations
    assert predict.run(config, run).cached
    again = predict.run(config, Run(run.workspace, force=True))
    assert not again.cached
    assert read_scene_graph(again.path / "000004.json").relations == found.relations, "made anew, and there"
    # From Python, the same.
    graph = spade.load_relation_predictor(done.path)(found, min_score=0.0)
    assert [(r.subject, r.predicate, r.object) for r in graph.relations] == [
        (r.subject, r.predicate, r.object) for r in found.relations
    ]


def test_segments_of_one_prediction_are_taken_by_the_next_and_by_a_model_that_looks(world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    scene = world / "images" / "000004.png"
    first = predict.run(PredictConfig(images=(str(scene),)), run)
    before = read_scene_graph(first.path / "000004.json")
    config = PredictConfig(images=(str(scene),), segments=first.path / "000004.json", model=packaged("image"))
    after = read_scene_graph(predict.run(config, run).path / "000004.json")
    assert after.segments == before.segments
    assert (after.panoptic == before.panoptic).all()


def test_a_users_line_keeps_the_supercategory_that_the_file_gives(tmp_path, monkeypatch):
    """Through the packaged model: a label it does not know stands for the file's supercategory, with and without the
    user's line.
    """
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    ids = np.zeros((30, 40, 3), np.uint8)
    ids[5:20, 5:15, 0], ids[20:, :, 0] = 1, 2
    (tmp_path / "pan").mkdir()
    Image.fromarray(ids).save(tmp_path / "pan" / "a.png")
    names = (("corgi", 1, "animal"), ("grass-merged", 0, "plant"))
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": i, "name": n, "isthing": t, "supercategory": g} for i, (n, t, g) in enumerate(names, 1)],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [{"id": i, "category_id": i, "iscrowd": 0} for i in (1, 2)],
            }
        ],
    }
    (tmp_path / "pan.json").write_text(json.dumps(document))
    (tmp_path / "v.txt").write_text("corgi, pup\nstuff: grass-merged\n")
    run = Run(Workspace(tmp_path / "w"))
    for vocab in (None, tmp_path / "v.txt"):
        config = PredictConfig(images=(str(tmp_path / "a.png"),), segments=tmp_path / "pan.json", vocab=vocab)
        done = predict.run(config, run)
        graph = read_scene_graph(done.path / "a.json")
        assert graph.model["labels"] == done.result.labels == {"corgi": 'its supercategory "animal"'}
        said = []
        monkeypatch.setattr(run.report, "say", said.append)
        assert predict.run(config, run).cached
        assert said[-1] == 'label "corgi": not known by name, stands for its supercategory "animal"', (
            "also where nothing is done anew"
        )
        # A prediction's own segments keep what is known of their labels.
        again = predict.run(PredictConfig(images=(str(tmp_path / "a.png"),), segments=done.path / "a.json"), run)
        found = read_scene_graph(again.path / "a.json")
        assert (graph.model["segments"], found.model["segments"]) == (
            "segments given by pan.json",
            "segments given by a.json",
        )
        assert replace(found, model=graph.model).to_json("a.png") == graph.to_json("a.png")
    # From Python, too.
    given = GivenSegments(tmp_path / "pan.json").of("a.png", (40, 30))
    assert spade.load_relation_predictor()(given).model["labels"] == graph.model["labels"]


def test_what_labels_stand_for_is_told_of_each_segment(tmp_path):
    """Through the packaged model; stuff stays stuff where a user's line does not say, and a list of predicates says
    nothing of labels.
    """
    ids = np.zeros((30, 40), np.uint32)
    ids[:10], ids[10:20], ids[20:] = 1, 2, 3
    write_panoptic(tmp_path / "a.png", ids)
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    segments = tuple(
        Segment(i, label, 0, thing, 1.0, (0, 10 * i - 10, 40, 10 * i), 400, group)
        for i, label, thing, group in (
            (1, "thingy", True, "animal"),
            (2, "thingy", True, None),
            (3, "slime", False, None),
        )
    )
    (tmp_path / "g.json").write_text(
        json.dumps(SceneGraph("photo.png", 40, 30, segments, (), (), (), ids).to_json("a.png"))
    )
    (tmp_path / "lines.txt").write_text("slime, goo\n")
    (tmp_path / "predicates.txt").write_text("[predicates]\non\nbeside\n")
    run, keys = Run(Workspace(tmp_path / "w")), set()
    for vocab in (None, tmp_path / "lines.txt", tmp_path / "predicates.txt"):
        config = PredictConfig(images=(str(tmp_path / "photo.png"),), segments=tmp_path / "g.json", vocab=vocab)
        done = predict.run(config, run)
        assert done.result.labels == {
            "thingy": 'its supercategory "animal"; or an unknown thing',
            "slime": "unknown stuff",
        }
        assert [s.supercategory for s in read_scene_graph(done.path / "photo.json").segments] == ["animal", None, None]
        keys.add(done.path)
    assert len(keys) == 3


def test_predict_with_a_segmenter(trained, world, tmp_path):
    run, _ = trained
    folder = mask2former(tmp_path / "segmenter")
    scene = world / "images" / "000004.png"
    done = predict.run(PredictConfig(images=(str(scene),), segmenter=str(folder)), run)
    graph = read_scene_graph(done.path / "000004.json")
    assert [s.label for s in graph.segments] == ["grass-merged"]
    assert graph.model["inputs"] == "boxes"
    (tmp_path / "p.txt").write_text("juggling\n")
    images = (str(world / "images"),)
    with pytest.raises(SpadeError, match='predicate "juggling"'):
        predict.run(
            PredictConfig(images=images, segmenter=str(tmp_path / "segmenter"), predicates=tmp_path / "p.txt"), run
        )


def test_an_image_without_segments_is_skipped_and_named(trained, world, tmp_path):
    run, _ = trained
    shutil.copy(world / "images" / "000004.png", tmp_path / "stranger.png")
    images = (str(world / "images" / "000004.png"), str(tmp_path / "stranger.png"))
    done = predict.run(PredictConfig(images=images, segments=world / "psg.json"), run)
    assert done.result.graphs == ["000004.json"]
    assert "no segments of stranger.png" in done.result.skipped[0]


def test_training_with_text_embeddings_and_a_predicate_that_it_did_not_have(world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    done = train_boxes.run(boxing(data=world, epochs=1, clip="tiny", **SMALL), run)
    (tmp_path / "p.txt").write_text("riding\nwatching over\n")
    scene = str(world / "images" / "000004.png")
    config = PredictConfig(images=(scene,), segments=world / "psg.json", predicates=tmp_path / "p.txt", min_score=0.0)
    graph = read_scene_graph(predict.run(config, run).path / "000004.json")
    assert graph.predicates == ("riding", "watching over")
    assert graph.model["name"] == done.path.name


def test_refusals(trained, world, tmp_path):
    run, done = trained
    scene = str(world / "images" / "000004.png")
    with pytest.raises(SpadeError, match=r"`logit_adjustment=0\.5`: belongs to a model of labels and boxes"):
        predict.run(PredictConfig(images=(scene,), settings={"logit_adjustment": 0.5}), Run(run.workspace))
    for name, value in (("fusion", 0.5), ("unseen_odds", 2.0)):
        with pytest.raises(SpadeError, match=f"`{name}={value:g}`: belongs to a model that sees images"):
            predict.run(PredictConfig(images=(scene,), segments=world / "psg.json", settings={name: value}), run)
    with pytest.raises(SpadeError, match="takes no input artifact here"):
        train_boxes.run(boxing(data=world), Run(run.workspace, source="abc"))
    (tmp_path / "p.txt").write_text("juggling\n")
    with pytest.raises(SpadeError, match='predicate "juggling"'):
        predict.run(PredictConfig(images=(scene,), segments=world / "psg.json", predicates=tmp_path / "p.txt"), run)
    with pytest.raises(SpadeError, match=r"needs segments; use it with `segments` or `segmenter`"):
        predict.run(PredictConfig(images=(scene,), model=done.path), Run(run.workspace))
    assert find_model(run.workspace.root) == done.path, "a workspace that is named gives what it has"
    with pytest.raises(SpadeError, match="is a model that sees images"):
        spade.load_relation_predictor(packaged("image"))
    with pytest.raises(SpadeError, match="is a model of labels and boxes"):
        spade.load(done.path)


def test_a_part_of_the_records_is_not_taken_for_all(trained, world, tmp_path):
    """Of labels and boxes, whose predictions open no image: the annotation file is the same for every part."""
    run = Run(Workspace(tmp_path / "w"))
    few, all_of_them, trained = (
        evaluate.run(EvalConfig(data=world, mode="predcls", model=trained[1].path, **part), run).result.metrics[
            "images"
        ]
        for part in ({"limit": 1}, {}, {"split": "train"})
    )
    assert (few, all_of_them, trained) == (1, 4, 16)
