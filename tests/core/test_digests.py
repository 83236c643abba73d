from __future__ import annotations

import hashlib
import os

import pytest

from spade.core import digests as module
from spade.core.artifact import lost_or_altered
from spade.core.digests import digest, digests
from spade.core.errors import SpadeWarning
from spade.core.workspace import Workspace


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A file that was changed long ago, as far as the clock of this module goes."""
    monkeypatch.setenv("SPADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "YOUNG", -1e9)
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    return path


def test_a_file_is_hashed_once(old, monkeypatch):
    assert digest(old) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.setattr(module, "sha256_file", lambda path: pytest.fail("hashed again"))
    assert digest(old) == hashlib.sha256(b"one").hexdigest()


def test_a_changed_file_is_hashed_again_even_with_its_old_time(old):
    digest(old)
    facts = old.stat()
    old.write_bytes(b"two")
    os.utime(old, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert digest(old) == hashlib.sha256(b"two").hexdigest()


def test_a_young_file_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("SPADE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    digest(path)
    seen = []
    monkeypatch.setattr(module, "sha256_file", lambda path: seen.append(path) or "x")
    assert digest(path) == "x"
    assert seen == [path]


def test_without_a_place_for_the_memory_files_are_hashed_every_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPADE_CACHE", str(tmp_path / "file" / "below"))
    assert digest(tmp_path / "file") == hashlib.sha256(b"").hexdigest()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "digests.sqlite").write_bytes(b"no database" * 100)
    monkeypatch.setenv("SPADE_CACHE", str(tmp_path / "bad"))
    assert digest(tmp_path / "file") == hashlib.sha256(b"").hexdigest()


def test_absent_files_are_none(tmp_path):
    assert digests([tmp_path / "nowhere", tmp_path]) == [None, None]


def test_a_payload_that_is_lost_or_altered_is_made_anew(tmp_path):
    def writer():
        return Workspace(tmp_path).writer("maps", 1, {"a": 1})

    made = writer()
    made.begin()
    made.file("x.txt").write_text("content")
    made.finish({})
    assert writer().cached
    (made.path / "x.txt").write_text("CONTENT")
    with pytest.warns(SpadeWarning, match=r"x\.txt: was lost or altered since it was written"):
        again = writer()
    assert not again.cached
    again.begin()
    assert not again.file("x.txt").exists(), "nothing of the old result stays"
    again.file("x.txt").write_text("content")
    assert lost_or_altered(again.finish({})) == []
    (made.path / "x.txt").unlink()
    with pytest.warns(SpadeWarning):
        assert not writer().cached


def test_an_inode_larger_than_the_memory_holds(old, monkeypatch):
    """As some network file systems have them."""
    facts = list(old.stat())
    facts[1] = (1 << 64) - 3
    monkeypatch.setattr(type(old), "stat", lambda self, **_: os.stat_result(facts))
    assert digest(old) == digest(old) == hashlib.sha256(b"one").hexdigest()
