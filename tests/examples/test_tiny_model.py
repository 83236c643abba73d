"""The scripts that train the packaged model: words, and a training from the command line that is resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spade.world.annotation import make_sample
from spade.world.rules import PREDICATES, SYMMETRIC

SCRIPTS = Path(__file__).parents[2] / "examples" / "tiny_model"


@pytest.fixture(scope="module")
def words():
    sys.path.insert(0, str(SCRIPTS))
    import words

    yield words
    sys.path.remove(str(SCRIPTS))


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
