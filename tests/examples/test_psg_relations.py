from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import spade
from spade.core.files import sha256_file

SCRIPT = Path(__file__).parents[2] / "examples" / "psg_relations.py"


@pytest.mark.slow
def test_a_model_is_trained_and_packaged(world, tmp_path):
    document = json.loads((world / "psg.json").read_text())
    (tmp_path / "few.json").write_text(json.dumps(document | {"data": document["data"][:2]}))
    target = tmp_path / "assets"
    command = [
        sys.executable,
        SCRIPT,
        world / "psg.json",
        "--without",
        tmp_path / "few.json",
        "--output",
        tmp_path / "work",
    ]
    subprocess.run([*command, "--epochs", "1", "--target", target], check=True, capture_output=True)
    manifest = json.loads((target / "manifest.json").read_text())
    assert {p.name for p in target.iterdir()} == {"manifest.json", *manifest["files"]}
    assert all(sha256_file(target / name) == facts["sha256"] for name, facts in manifest["files"].items())
    kept = json.loads((tmp_path / "work" / "psg.json").read_text())["data"]
    assert len(kept) == len(document["data"]) - 2
    test = sum(r["image_id"] in document["test_image_ids"] for r in kept)
    assert manifest["train_images"] + manifest["validation_images"] <= len(kept) - test
    assert "image_id" not in (target / "model.json").read_text(), "no record is packaged"
    assert spade.load_relation_predictor(target).vocabulary.predicates == tuple(document["predicate_classes"])
