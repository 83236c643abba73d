from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade.core.errors import SpadeError
from spade.core.files import TEMPORARY, canonical_hash, inside, read_json, write_bytes, write_json


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    write_bytes(target, b"old")

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spade.core.files.os.fsync", broken)
    with pytest.raises(SpadeError, match=r"a\.txt: cannot be written \(No space left"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert not list(tmp_path.glob(f"*{TEMPORARY}"))


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\..\\..\\x", "C:/x", "\\x", "", "a\x00b"])
def test_paths_of_foreign_files_stay_inside(name, tmp_path):
    with pytest.raises(SpadeError, match=r"psg\.json: the path .* leaves its folder"):
        inside(tmp_path, name, Path("psg.json"))


@given(st.text(max_size=40))
def test_whatever_passes_lies_below_the_root(name):
    root = Path("/some/root")
    try:
        path = inside(root, name, Path("psg.json"))
    except SpadeError:
        return
    assert path == root or root in path.parents


def test_canonical_hash_ignores_order_and_sees_values():
    assert canonical_hash({"a": 1, "b": [1, 2]}) == canonical_hash({"b": [1, 2], "a": 1})
    assert canonical_hash({"a": 1}) != canonical_hash({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        canonical_hash({"a": float("inf")})


def test_unreadable_json_names_file_and_remedy(tmp_path):
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(SpadeError, match=r"bad\.json: this thing is not valid json .*; do this"):
        read_json(tmp_path / "bad.json", "thing", "do this")
    with pytest.raises(SpadeError, match=r"none\.json: no such thing; do this"):
        read_json(tmp_path / "none.json", "thing", "do this")
    with pytest.raises(SpadeError, match="cannot be read"):
        read_json(tmp_path, "thing", "do this")
