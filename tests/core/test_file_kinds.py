from __future__ import annotations

import io
import zipfile

import pytest
from PIL import Image

from spade.core.digests import cache_folder
from spade.core.errors import SpadeError
from spade.core.file_kinds import what_it_is
from spade.core.files import read_json
from spade.core.paths import base_name, expanded, user_path
from spade.core.weights import read_tensors
from spade.data.images import read_image
from spade.data.split_lists import read_split
from spade.evaluation.formats.sources import open_predictions
from spade.segmentation.given import GivenSegments
from spade.structures.panoptic_png import read_panoptic
from tests.evaluation.helpers import dataset

KINDS = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a page of html": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "a video": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
    "a page of html,": b"\xef\xbb\xbf<html><body>404</body></html>",
    "a pdf": b"%PDF-1.7\n",
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_told_by_their_first_bytes(tmp_path, kind):
    path = tmp_path / "x.png"
    path.write_bytes(KINDS[kind])
    for read, what in (
        (read_image, "no image"),
        (read_panoptic, "no panoptic png"),
        (lambda p: read_json(p, "list", "."), "no list"),
        (GivenSegments, "holds no segments"),
        (lambda p: open_predictions(p, None), "no prediction file"),
    ):
        with pytest.raises(SpadeError, match=rf"x\.png: is {kind}.*{what}"):
            read(path)
    with pytest.raises(SpadeError, match=f"cannot be loaded .the file is {kind}"):
        read_tensors(path, "fetch it again.")


def test_a_zip_and_an_image_and_what_nobody_knows():
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").writestr("a", "b")
    assert what_it_is(buffer.getvalue())[0] == "a zip archive"
    image = io.BytesIO()
    Image.new("RGB", (2, 2)).save(image, "PNG")
    assert what_it_is(image.getvalue())[0] == "a png image"
    assert what_it_is(b"rubbish") is None
    for film in (b"\0\0\1\xba\x44", b"FLV\1\5\0", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"):
        assert what_it_is(film)[0] == "a video"


def test_json_is_no_image(tmp_path):
    (tmp_path / "x.png").write_text('{"images": []}')
    with pytest.raises(SpadeError, match=r"x\.png: is json, and no image that can be read; name the image"):
        read_image(tmp_path / "x.png")


def test_one_rule_for_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a.jpg") == tmp_path / "a.jpg"
    assert user_path("a~b/c") == user_path("a~b/c").__class__("a~b/c")
    assert expanded([user_path("x"), "~/y", 3]) == [user_path("x"), "~/y", 3]
    for name in ("images\\000004.png", "C:\\data\\000004.png", "images/000004.png", "000004.png"):
        assert base_name(name) == "000004.png"


@pytest.mark.parametrize("name", ["~/ws", "~"])
def test_tilde_means_home_everywhere(monkeypatch, tmp_path, name):
    import spade
    from spade.core.errors import SpadeError as Error

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error, match=str(tmp_path)):
        spade.load(name)
    assert not (tmp_path / "~").exists()


def test_tilde_means_home_in_variables_and_in_options_that_are_text(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SPADE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert cache_folder() == tmp_path / "cache" / "spade"
    monkeypatch.setenv("SPADE_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    (tmp_path / "split.json").write_text('{"novel_predicates": ["p"]}')
    assert read_split("~/split.json", dataset()).novel_predicates == {"p"}
