from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spade.core.artifact import keyed, verify
from spade.core.errors import SpadeError
from spade.core.files import TEMPORARY, write_text
from spade.core.workspace import Workspace
from tests.configs import inverting


def make(workspace, text="x", step="invert", **config):
    draft = workspace.writer(step, 1, config)
    draft.begin()
    write_text(draft.file("payload.txt"), text)
    return draft.finish({"text": text})


def test_an_artifact_exists_when_its_manifest_does(tmp_path):
    workspace = Workspace(tmp_path / "w")
    draft = workspace.writer("invert", 1, {"a": 1})
    draft.begin()
    write_text(draft.file("payload.txt"), "x")
    assert workspace.artifacts("invert") == []
    assert [row["complete"] for row in workspace.status()] == [False]
    draft.finish({})
    assert [a.key for a in workspace.artifacts("invert")] == [draft.key]
    assert workspace.writer("invert", 1, {"a": 1}).cached
    assert not workspace.writer("invert", 1, {"a": 2}).cached


def test_manifest_lists_payload_with_hash_and_size(tmp_path):
    artifact = make(Workspace(tmp_path), "hello")
    facts = artifact.manifest["files"]["payload.txt"]
    assert facts == {"sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "bytes": 5}
    assert set(artifact.manifest) >= {"config", "inputs", "versions", "command", "seconds", "threads", "finished"}
    verify(artifact, "do it again")
    (artifact.path / "payload.txt").write_text("hallo")
    with pytest.raises(SpadeError, match=r"payload\.txt: this file was changed or damaged .* do it again"):
        verify(artifact, "do it again")


def test_keys_know_version_inputs_and_fingerprints(tmp_path):
    workspace = Workspace(tmp_path)
    keys = {
        workspace.writer("invert", 1, {}).key,
        workspace.writer("invert", 2, {}).key,
        workspace.writer("calibrate", 1, {}).key,
        workspace.writer("invert", 1, {}, inputs={"x": "1"}).key,
        workspace.writer("invert", 1, {}, fingerprints={"x": "1"}).key,
    }
    assert len(keys) == 5
    assert all(len(key) == 12 for key in keys)


def test_a_key_is_what_it_was_before():
    """A new option with a default may not throw away everyone's caches without a new STEP_VERSION."""
    facts = {"step": "s", "version": 1, "config": {"a": 1}, "inputs": {}, "fingerprints": {}}
    from spade.core.files import canonical_hash

    assert canonical_hash(facts)[:12] == Workspace(Path("unused-folder")).writer("s", 1, {"a": 1}).key == "5025f5816f26"


def test_execution_only_fields_stay_out_of_the_key():
    @dataclass(frozen=True)
    class Config:
        seed: int = 0
        place: Path = field(default=Path("a"), metadata={"execution": True})

    assert keyed(Config()) == {"seed": 0}
    here, there = inverting(data=Path("here")), inverting(data=Path("there"))
    assert keyed(here) == keyed(there)
    assert keyed(here) != keyed(inverting(data=Path("here"), seed=1))


def test_force_throws_away_and_begin_clears_leftovers(tmp_path):
    workspace = Workspace(tmp_path)
    artifact = make(workspace)
    forced = workspace.writer("invert", 1, {}, force=True)
    assert not forced.cached
    assert workspace.newest("invert").key == artifact.key, "the old result stays until the new one really begins"
    (artifact.path / f"a.1{TEMPORARY}").write_text("half")
    (artifact.path / "sub").mkdir()
    forced.begin()
    assert [p.name for p in artifact.path.iterdir()] == [".lock"]
    forced.release()
    (artifact.path / f"a.1{TEMPORARY}").write_text("half")
    draft = workspace.writer("invert", 1, {})
    draft.begin()
    assert not list(draft.path.glob(f"*{TEMPORARY}"))
    draft.release()


def test_a_second_writer_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    draft = workspace.writer("invert", 1, {})
    draft.begin()
    with pytest.raises(SpadeError, match="another spade process is writing here"):
        workspace.writer("invert", 1, {}).begin()
    with pytest.raises(SpadeError, match="another spade process is writing here"):
        workspace.writer("invert", 1, {}, force=True).begin()
    draft.release()
    early, late = workspace.writer("invert", 1, {}), workspace.writer("invert", 1, {})
    early.begin()
    early.finish({})
    with pytest.raises(SpadeError, match="another spade process finished this just now"):
        late.begin()


def test_a_damaged_manifest_is_not_an_absent_one(tmp_path):
    workspace = Workspace(tmp_path)
    older, newer = make(workspace, n=1), make(workspace, n=2)
    for content in ("", "[]", '{"key": 1}', "{", '{"result": {}, "files": {"a": null}}'):
        (newer.path / "manifest.json").write_text(content)
        with pytest.raises(SpadeError, match=r"manifest\.json: this manifest is damaged; .* command is: spade invert"):
            workspace.newest("invert")
        with pytest.raises(SpadeError, match="damaged"):
            _ = workspace.writer("invert", 1, {"n": 2}).manifest
    os.utime(newer.path / "manifest.json", (0, 0))
    assert workspace.newest("invert").key == older.key, "it would not be the newest"
    states = {row["key"]: (row["complete"], row["damaged"]) for row in workspace.status()}
    assert states == {older.key: (True, False), newer.key: (False, True)}


def test_refresh_notes_the_new_place(tmp_path):
    workspace = Workspace(tmp_path)
    make(workspace, "here")
    draft = workspace.writer("invert", 1, {})
    draft.refresh(text="there")
    assert workspace.newest("invert").manifest["result"]["text"] == "there"


def test_newest_by_time_by_key_and_missing(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(
        SpadeError,
        match="spade calibrate needs the result of spade invert, which is not there; run first: spade invert",
    ):
        workspace.need("invert", "spade calibrate")
    first, second = make(workspace, n=1), make(workspace, n=2)
    assert workspace.newest("invert").key == second.key
    assert workspace.newest("invert", first.key[:6]).key == first.key
    with pytest.raises(SpadeError, match="no invert artifact has a key that starts with 'zz'"):
        workspace.newest("invert", "zz")
    with pytest.raises(SpadeError, match="more than one"):
        workspace.newest("invert", "")


def test_a_file_is_no_workspace(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(SpadeError, match="is a file; name a folder with `workspace`"):
        Workspace(tmp_path / "f")
