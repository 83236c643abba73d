"""What a file is that is not what was expected, by its first bytes: told in a message, with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

# First bytes, from which place on, what the file is, and the remedy.
_KINDS = (
    (b"version https://git-lfs", 0, "a pointer of Git LFS", "fetch the file itself with: git lfs pull"),
    (b"PK\x03\x04", 0, "a zip archive", "unpack it first"),
    (b"\x1f\x8b", 0, "a gzip archive", "unpack it first"),
    (b"Rar!", 0, "a rar archive", "unpack it first"),
    (b"7z\xbc\xaf", 0, "a 7z archive", "unpack it first"),
    (b"%PDF", 0, "a pdf", "export its pages as png or jpeg"),
    (b"ftyp", 4, "a video, or an image of Apple's HEIC", "save its frames, or the image, as png or jpeg"),
    (b"\x1a\x45\xdf\xa3", 0, "a video", "save its frames as png or jpeg"),
    (b"AVI ", 8, "a video", "save its frames as png or jpeg"),
    (b"\x00\x00\x01\xba", 0, "a video", "save its frames as png or jpeg"),
    (b"FLV\x01", 0, "a video", "save its frames as png or jpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "a video", "save its frames as png or jpeg"),
    (b"<?xml", 0, "xml", "export it as png or jpeg"),
    (b"<svg", 0, "an svg drawing", "export it as png or jpeg"),
    (b"\x89HDF", 0, "an hdf5 file", "name the file that belongs here"),
    (b"\x93NUMPY", 0, "an array of numpy", "save it as png or jpeg"),
    *((bytes((0x80, protocol)), 0, "a pickle", "which is never opened; name the file that belongs here")
      for protocol in (2, 3, 4, 5)),
    (b"\x89PNG", 0, "a png image", "name the file that belongs here"),
    (b"\xff\xd8\xff", 0, "a jpeg image", "name the file that belongs here"),
)  # fmt: skip


def kind_of(path: Path) -> tuple[str, str] | None:
    """``what_it_is`` of a file; None, too, for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return what_it_is(file.read(100))
    except (OSError, ValueError):
        return None


def what_it_is(head: bytes) -> tuple[str, str] | None:
    """What a file with these first bytes (a hundred will do) is, and the remedy; None for an unknown kind."""
    if not head:
        return "an empty file", "fetch or write it again"
    for mark, place, kind, remedy in _KINDS:
        if head[place : place + len(mark)] == mark:
            return kind, remedy
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "a page of html, as a server sends in the place of a file", "fetch the file again"
    return None


def is_json(head: bytes) -> bool:
    """Whether a file with these first bytes may be json: an object, or a list of something."""
    return re.match(rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\[\]{\"\d-])", head) is not None
