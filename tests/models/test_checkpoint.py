"""Model folders: what is read, refused, and told apart."""

from __future__ import annotations

import json
import shutil

import pytest

import spade
from spade.core.errors import SpadeError
from spade.core.files import sha256_file
from spade.diffusion.backbone_files import embedded_model
from spade.models.checkpoint import find_model, packaged_open, read_model


@pytest.mark.parametrize("folder", [embedded_model(), packaged_open()], ids=["tiny", "tiny-open"])
def test_packaged_files_are_those_of_the_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"manifest.json"}
    assert on_disk == set(manifest["files"])
    for name, facts in manifest["files"].items():
        assert sha256_file(folder / name) == facts["sha256"]
        assert facts["bytes"] < 16_000_000
    assert sum(facts["bytes"] for facts in manifest["files"].values()) < 40_000_000
    assert manifest["files"]["heads.safetensors"]["bytes"] <= 3_000_000
    assert not [name for name in on_disk if name.endswith((".bin", ".pt", ".pkl", ".ckpt"))]


def test_what_is_no_model_is_one_sentence(tmp_path):
    with pytest.raises(SpadeError, match=r"holds no trained model \(model\.json\)"):
        find_model(tmp_path)
    shutil.copytree(embedded_model(), tmp_path / "m")
    facts = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(facts | {"format": 7}))
    with pytest.raises(SpadeError, match=r"model\.json: is no model of format 3"):
        spade.load(tmp_path / "m")
    (tmp_path / "m" / "model.json").write_text(json.dumps(facts))
    (tmp_path / "m" / "heads.safetensors").write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match=r"heads\.safetensors: these weights cannot be loaded"):
        spade.load(tmp_path / "m")


def fingerprint_of(folder):
    return read_model(folder).fingerprint()


@pytest.mark.parametrize("text", ["[]", '{"format": 1}', '{"format": 1, "vocabulary": [], "heads": {}}', "{", "5"])
def test_what_is_no_description_is_one_sentence(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    for attempt in (read_model, spade.load, fingerprint_of):
        with pytest.raises(SpadeError, match=r"model\.json"):
            attempt(tmp_path)


def test_the_fingerprint_sees_every_weight(tmp_path):
    shutil.copytree(embedded_model(), tmp_path / "m")
    plain = fingerprint_of(tmp_path / "m")
    assert plain == fingerprint_of(embedded_model())
    facts = json.loads((tmp_path / "m" / "model.json").read_text())
    for part in ("backbone", "clip"):
        moved = tmp_path / f"own-{part}"
        shutil.copytree(embedded_model() / part, moved)
        weights = next(moved.rglob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        (tmp_path / "m" / "model.json").write_text(json.dumps(facts | {part: str(moved)}))
        assert fingerprint_of(tmp_path / "m") != plain
    (tmp_path / "m" / "heads.safetensors").unlink()
    with pytest.raises(SpadeError, match=r"heads\.safetensors: this file of the model is missing"):
        fingerprint_of(tmp_path / "m")
