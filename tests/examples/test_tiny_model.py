"""The scripts that train the packaged model: words, and a training from the command line that is resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import spade
from spade.diffusion.backbone_files import embedded_model
from spade.world.annotation import make_sample
from spade.world.dataset import novel_names
from spade.world.rules import PREDICATES, SYMMETRIC

SCRIPTS = Path(__file__).parents[2] / "examples" / "tiny_model"


@pytest.fixture(scope="module")
def script():
    """Imports a script by its name."""
    sys.path.insert(0, str(SCRIPTS))
    yield import_module
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def words(script):
    return script("words")


@pytest.fixture(scope="module")
def stream(script):
    return script("stream")


def test_one_relation_is_made_wrong(words):
    kinds = set()
    for index in range(60):
        triples = make_sample(5, index).triples
        changed = words.altered(triples, np.random.default_rng(index))
        different = [(old, new) for old, new in zip(triples, changed, strict=True) if old != new]
        assert len(different) == 1
        (subject, predicate, target), new = different[0]
        swapped = new == (target, predicate, subject)
        assert swapped or ((new[0], new[2]) == (subject, target) and new[1] in PREDICATES)
        assert not (swapped and predicate in SYMMETRIC)
        kinds.add(swapped)
    assert kinds == {True, False}


def test_captions_and_their_wrong_versions_are_worded_alike(words):
    """The same draw of words for both: they differ in the changed relation or not at all."""
    sample, told = make_sample(5, 1), 0
    changed = words.altered(sample.triples, np.random.default_rng(0))
    for seed in range(40):
        one, other = (
            words.caption(triples, sample.labels, np.random.default_rng(seed)) for triples in (sample.triples, changed)
        )
        told += one != other
        assert len(one.split(",")) == len(other.split(","))
    assert 0 < told < 40


def _train(output: Path, *more: str) -> None:
    command = [sys.executable, "autoencoder.py", "--output", str(output), "--epochs", "2", "--samples", "8", *more]
    path = os.pathsep.join([str(SCRIPTS.parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, cwd=SCRIPTS, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": path})


@pytest.mark.slow
def test_a_training_that_was_ended_goes_on(tmp_path):
    """One epoch, then the second, gives the weights of two at once; the log tells of both runs."""
    _train(tmp_path / "whole")
    _train(tmp_path / "parts", "--until", "1")
    _train(tmp_path / "parts")
    weights = "backbone/vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "parts" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    log = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(line["epochs"], line["schedule"]) for line in log] == [(1, 2), (2, 2)]


def test_a_stream_has_scenes_as_training_annotates_them(stream):
    objects, predicates = novel_names("ovdr")
    lists = stream.dataset_of("ovdr")
    assert not objects & set(lists.classes)
    assert not predicates & set(lists.predicates)
    hidden = 0
    for number, scene in enumerate(stream.made(embedded_model(), "ovdr", 77, range(6))):
        sample = make_sample(77, number)
        shown = [lists.classes.index(label) for label in sample.labels if label not in objects]
        assert scene.classes.tolist() == shown
        assert len(scene.masks[0]) == len(shown)
        truth = scene.truth()
        assert (truth.masks.sum(0) + truth.unnamed.sum(0)).max() == 1, "no pixel twice"
        named = [triple for triple in truth.triples.tolist() if triple[2] >= 0]
        assert len(named) == sum(
            PREDICATES[p] not in predicates and not {sample.labels[s], sample.labels[o]} & objects
            for s, o, p in sample.relations
        )
        hidden += len(truth.triples) - len(named)
    assert hidden > 0, "pairs that only novel predicates relate"


def test_inductive_scenes_have_no_novel_thing(stream):
    novel, _ = novel_names("ovdr")
    plain = [stream.scene_of("ovdr", 77, number, False) for number in range(12)]
    assert any(not novel.isdisjoint(sample.labels) for sample in plain)
    for number, sample in enumerate(plain):
        alone = stream.scene_of("ovdr", 77, number, True)
        assert novel.isdisjoint(alone.labels)
        if novel.isdisjoint(sample.labels):
            assert np.array_equal(alone.image, sample.image), "a scene without one is taken as it is"


def test_scenes_that_are_judged_on_are_none_that_were_learned_from(script):
    from benchmarks.product import predict, quickstart, tiny_graphs, tiny_model
    from benchmarks.relations import by_scenes, doubt, masks, open_names, open_predicates, probe, unseen_segments

    common, heads, adapter = (script(name) for name in ("common", "heads", "adapter"))
    unet = common.TRAIN_SEED + 1  # its second run took other scenes
    learned = {common.TRAIN_SEED, unet, common.VALIDATION_SEED, heads.TRAIN_SEED, heads.WORLD_SEED, adapter.WORLD_SEED}
    judged = [
        tiny_graphs.SEED,
        quickstart.FURTHER_SEED,
        open_names.SEED,
        open_names.FRESH_SEED,
        unseen_segments.WORLD_SEED,
        by_scenes.SEED,
    ]
    judged += [open_names.CHOICE_SEED, open_predicates.BASELINE_SEED, doubt.SEED, masks.TRAIN_SEED, masks.CHOICE_SEED]
    judged += [predict.SEED, tiny_model.HELD_OUT_SEED, probe.SEED]
    assert len(set(judged)) == len(judged)
    assert learned.isdisjoint(judged)


def test_a_manifest_tells_of_what_is_there_now(script, tmp_path):
    package = script("package")
    (tmp_path / "heads.safetensors").write_bytes(b"1234")
    first, again = ({"part": "tiny", "minutes": minutes, "start": False} for minutes in (1.0, 2.0))
    further, other = {"part": "tiny", "minutes": 3.0, "start": True}, {"part": "clip", "minutes": 10.0}

    def told():
        return json.loads((tmp_path / "manifest.json").read_text())

    package.write_manifest(tmp_path, [other, first], [{"epoch": 1, "PQ": 0.5}])
    assert told()["minutes"] == 11.0
    assert told()["files"]["heads.safetensors"]["bytes"] == 4
    package.write_manifest(tmp_path, [again])
    assert told()["log"] == [other, again], "trained again from nothing"
    for _ in range(2):
        package.write_manifest(tmp_path, [further], [{"epoch": 0, "PQ": 0.5}, {"epoch": 1, "PQ": 0.6}])
        assert told()["log"] == [other, again, further], "a leg that went on, told of once"
        assert told()["curve"] == [{"epoch": 1, "PQ": 0.5}, {"epoch": 2, "PQ": 0.6}]
    (tmp_path / "heads.safetensors").write_bytes(b"1" * 3_000_001)
    with pytest.raises(SystemExit, match=r"heads\.safetensors: 3,000,001 bytes; the package takes 3,000,000 at most"):
        package.write_manifest(tmp_path, [])


@pytest.mark.slow
def test_heads_are_trained_on_scenes_made_meanwhile(tmp_path):
    """A few scenes; what comes out is a model folder, but for what the packaged ones share."""
    command = [sys.executable, "heads.py", "--output", str(tmp_path), "--parts", str(embedded_model())]
    options = ["--epochs", "1", "--samples", "16", "--validation", "4", "--fitted", "10", "--open"]
    path = os.pathsep.join([str(SCRIPTS.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([*command, *options], cwd=SCRIPTS, check=True, capture_output=True, env=environment)
    model = spade.load(tmp_path / "tiny-open")
    assert len(model.vocabulary.objects) == 20
    assert model.heads.unknown is not None
