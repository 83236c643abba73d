"""An open-vocabulary run on a closed data set by a split list: what training sees, and the table at the end."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.readers import load_dataset
from spade.data.samples import annotated_ids, annotated_regions
from spade.data.split_lists import split_kept
from spade.diffusion.prompts import relation_prompt
from spade.models.checkpoint import read_model
from spade.steps import calibrate, evaluate, invert, train_boxes, train_relations
from spade.steps.common import Run
from spade.steps.config import EvalConfig
from spade.steps.world import run as make_world
from spade.training.targets import annotation
from spade.world.dataset import novel_names
from tests.configs import boxing, calibrating, inverting, relating
from tests.data.miniatures import write_coco, write_vg
from tests.steps.helpers import payload

OBJECTS, PREDICATES = novel_names("ovdr")
NOVEL = re.compile(r"\b(" + "|".join(sorted(OBJECTS | PREDICATES)) + r")\b")


@pytest.fixture(scope="module")
def split(world, tmp_path_factory):
    """Inversion, calibration and heads by the list of the world's open setting, on the closed world."""
    run = Run(Workspace(tmp_path_factory.mktemp("split") / "workspace"))
    return {
        "run": run,
        "invert": invert.run(inverting(data=world, split_list="world:ovdr"), run),
        "calibrate": calibrate.run(calibrating(epochs=1), run),
        "train-relations": train_relations.run(relating(epochs=1), run),
    }


def test_training_sees_no_novel_name(split, world):
    teacher, whole = split["run"].workspace.need("invert", "test"), load_dataset(world)
    dataset, records = calibrate.inverted_records(teacher)
    assert not NOVEL.search(" ".join([*dataset.classes, *dataset.predicates])), "lists"
    annotated = {record.image_id: record for record in whole.records}
    for record in records:
        triples = [(s, o, dataset.predicates[p]) for s, o, p in record.training_triples()]
        prompt = relation_prompt(triples, [dataset.classes[s.category] for s in record.segments]).text
        assert prompt
        assert not NOVEL.search(prompt)
        ids = annotated_ids(whole, annotated[record.image_id])
        novel = [s.id for s in annotated[record.image_id].segments if whole.classes[s.category] in OBJECTS]
        truth = annotation(record, annotated_regions(dataset, record), (ids.shape[1], ids.shape[0]), void_counts=True)
        assert not truth.masks[:, torch.from_numpy(np.isin(ids, novel))].any(), "no target lies on a novel segment"
        assert len(truth.masks) == len(annotated[record.image_id].segments) - len(novel)
        assert [dataset.classes[c] for c in truth.classes.tolist()] == [
            whole.classes[s.category] for s in annotated[record.image_id].segments if s.id not in novel
        ]
    for path in (teacher.path / "maps").iterdir():
        with safe_open(path, "pt") as file:
            assert not NOVEL.search(json.dumps(file.metadata())), "cached maps"


@pytest.mark.parametrize("write", [write_coco, write_vg])
def test_training_by_a_split_on_the_other_forms(world, tmp_path, write):
    write(world, tmp_path / "data")
    run = Run(Workspace(tmp_path / "w"))
    invert.run(inverting(data=tmp_path / "data", split_list="world:ovdr", limit=6), run)
    dataset, records = calibrate.inverted_records(run.workspace.need("invert", "test"))
    calibrate.run(calibrating(epochs=1), run)
    done = train_relations.run(relating(epochs=1, limit=6), run)
    vocabulary = read_model(done.path).vocabulary
    assert not NOVEL.search(" ".join([*vocabulary.names, *vocabulary.predicates]))
    psg = {r.image_id: r for r in split_kept(done.result.split).applied(load_dataset(world)).for_training().records}
    hidden = 0
    for record in records:
        regions = annotated_regions(dataset, record)
        truth = annotation(record, regions, (64, 64), void_counts=True)
        if dataset.has_masks:
            other = annotated_regions(load_dataset(world), psg[record.image_id])
            assert np.array_equal(regions.masks(), other.masks()), "pixels of novel segments are void, as in a png"
        else:
            hidden += len(truth.unnamed)
            assert len(truth.unnamed) == len(record.hidden_boxes)
            assert not (truth.void.bool() & truth.masks.any(0)).any()
    assert dataset.has_masks or hidden > 0, "boxes of novel things are regions without a name"


def test_a_calibration_without_a_split_is_no_start_for_one(world, tmp_path):
    make_world(tmp_path / "open", 5, (128, 128), 3, Run(Workspace(tmp_path / "w")), setting="ovdr")
    run = Run(Workspace(tmp_path / "w"))
    invert.run(inverting(data=world, limit=4), run)
    calibrate.run(calibrating(epochs=1), run)
    with pytest.raises(SpadeError, match=r"psg\.json: keeps 'boat' from training, and .* was calibrated on it; begin"):
        train_relations.run(relating(data=tmp_path / "open", epochs=1), run)


def test_a_comparison_has_the_table(pipeline, world, tmp_path):
    from spade_cli.tables import evaluation
    from tests.steps.test_evaluate import own

    shutil.copytree(own(pipeline).parent, tmp_path / "other")
    files = (own(pipeline), tmp_path / "other" / own(pipeline).name)
    config = EvalConfig(data=world, compare=files, split_list="world:ovr", at=(20,))
    done = evaluate.run(config, pipeline["run"])
    for system in done.result.metrics["systems"]:
        assert system["open_vocabulary"]["trained_on_novel"] is None
        assert {row["protocol"] for row in system["open_vocabulary"]["rows"]} == {"openpsg", "single-mpo"}
    assert sum("harmonic mean, by predicates" in line for line in evaluation(done.result.metrics)) == 4
    assert "base and novel" in (done.path / "report.html").read_text("utf-8")


def test_no_artifact_but_the_split_itself_names_one(split):
    root = split["run"].workspace.root
    texts = [p for p in root.rglob("*.json*") if p.name != "manifest.json"]
    assert len(texts) > 5
    for path in texts:
        found = NOVEL.search(path.read_text("utf-8", "replace"))
        assert not found, f"{path}: {found}"


def test_later_steps_inherit_the_split(split, world, tmp_path):
    kept = split["invert"].result.split
    assert (kept["name"], kept["version"], len(kept["sha256"])) == ("world:ovdr", "2", 64)
    assert split_kept(kept).novel_objects == OBJECTS
    assert kept == split["calibrate"].result.split == split["train-relations"].result.split
    assert split["train-relations"].result.init == "embedded: tiny-open"
    with pytest.raises(SpadeError, match=r"`split_list=world:ovr`: .* was calibrated by the split world:ovdr; leave"):
        train_relations.run(relating(split_list="world:ovr", epochs=1), split["run"])
    again = train_relations.run(relating(split_list="world:ovdr", epochs=1), split["run"])
    assert again.cached


def test_a_split_gives_the_same_bytes_whatever_it_is_called(split, world, tmp_path):
    names = {"novel_objects": sorted(OBJECTS), "novel_predicates": sorted(PREDICATES)}
    (tmp_path / "mine.json").write_text(json.dumps(names))
    run = Run(Workspace(tmp_path / "w"))
    other = invert.run(inverting(data=world, split_list=str(tmp_path / "mine.json")), run)
    assert other.key == split["invert"].key
    assert payload(other.path) == payload(split["invert"].path)
    assert other.result.split["name"] == "mine.json"
    closed = invert.run(inverting(data=world, limit=2), run)
    assert closed.result.split is None
    assert closed.key != other.key


def test_packaged_parts_that_saw_a_novel_name_are_no_start(world, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"novel_objects": ["dog"]}))
    run = Run(Workspace(tmp_path / "w"))
    invert.run(inverting(data=world, split_list=str(tmp_path / "mine.json"), limit=4), run)
    with pytest.raises(SpadeError, match="`init=embedded`: the packaged adapter has seen 'dog', which"):
        calibrate.run(replace(calibrating(epochs=1), init="embedded"), run)
    assert calibrate.run(calibrating(epochs=1), run).result.init == "scratch"
    with pytest.raises(SpadeError, match=r"`init=embedded`: the packaged heads know 'dog', which .* does not have;"):
        train_relations.run(relating(init="embedded", epochs=1), run)
    with pytest.raises(SpadeError, match=r"`masks_from=tiny-open`: was trained on 'dog', which the split mine\.json"):
        train_relations.run(relating(data=world, masks_from="tiny-open", split_list=str(tmp_path / "mine.json")), run)


def test_boxes_by_a_split(world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    done = train_boxes.run(boxing(data=world, split_list="world:ovdr", epochs=1), run)
    vocabulary = read_model(done.path).vocabulary
    assert not NOVEL.search(" ".join([*vocabulary.names, *vocabulary.predicates]))
    assert done.result.split["name"] == "world:ovdr"
    whole = train_boxes.run(boxing(data=world, epochs=1), run)
    assert whole.key != done.key


def test_the_table(split, world):
    config = EvalConfig(data=world, split_list="world:ovdr", at=(5, 20))
    metrics = evaluate.run(config, split["run"]).result.metrics
    table = metrics["open_vocabulary"]
    assert table["trained_on_novel"] == []
    assert [(row["protocol"], row["part"], row["by"]) for row in table["rows"][:7]] == [
        ("openpsg", "all", None),
        *(("openpsg", part, by) for by in ("predicates", "objects") for part in ("base", "novel", "harmonic")),
    ]
    assert {row["protocol"] for row in table["rows"][7:]} == {"single-mpo"}
    base, novel, mean = table["rows"][1:4]
    assert base["triplets"] + novel["triplets"] == table["rows"][0]["triplets"] == metrics["denominators"]["triplets"]
    expected = 2 * base["R@20"] * novel["R@20"] / (base["R@20"] + novel["R@20"]) if novel["R@20"] else 0.0
    assert mean["R@20"] == pytest.approx(expected)
    assert base["predicates"] == 16
    shown = evaluate.run(replace(config, split_list="world:ovr", model="tiny-open"), split["run"]).result.metrics
    assert shown["open_vocabulary"]["trained_on_novel"] == []


def test_eval_says_when_a_model_has_seen_what_is_novel(pipeline, world, tmp_path):
    from spade_cli.tables import evaluation

    (tmp_path / "mine.json").write_text(json.dumps({"novel_predicates": ["on", "holding"]}))
    config = EvalConfig(data=world, split_list=str(tmp_path / "mine.json"), at=(20,))
    metrics = evaluate.run(config, pipeline["run"]).result.metrics
    assert metrics["open_vocabulary"]["trained_on_novel"] == ["holding", "on"]
    assert evaluation(metrics)[0].startswith("this model was trained on 2 of the names that mine.json calls novel")
    page = (evaluate.run(config, pipeline["run"]).path / "report.html").read_text("utf-8")
    assert "this model was trained on 2 of the names" in page
