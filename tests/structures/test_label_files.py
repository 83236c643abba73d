"""Label files in other forms than ours are understood, or refused with what was found."""

from __future__ import annotations

import json

import pytest

from spade.core.errors import SpadeError
from spade.structures.vocabulary import Vocabulary
from spade.structures.vocabulary_file import given_vocabulary, read_vocabulary

TRAINED = Vocabulary.of(("dog",), ("sky-other-merged",), ("on", "under"))


def read(tmp_path, text):
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode("utf-8"))
    return read_vocabulary(path, ())


@pytest.mark.parametrize(
    ("text", "names", "predicates"),
    [
        ('["person", "dog, hound"]', ("person", "dog"), ()),
        ('[\n "person",\n "C# book"\n]\n', ("person", "C# book"), ()),
        ("\"person\"\n'traffic light'\n", ("person", "traffic light"), ()),
        ("[ predicates ]\nholding\n[ objects ]\ndog", ("dog",), ("holding",)),
        ('{"0": "person", "2": "sky", "1": "dog"}', ("person", "dog", "sky"), ()),
        ("C# book\ndog # a comment\n# another\n", ("C# book", "dog"), ()),
        ("7up can\n3-seat sofa\nt-shirt", ("7up can", "3-seat sofa", "t-shirt"), ()),
    ],
)
def test_understood(tmp_path, text, names, predicates):
    found = read(tmp_path, text)
    assert (found.names, found.predicates) == (names, predicates)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: person\n2: dog", r'labels\.txt:1: "1: person" begins with a number'),
        ("id,name,isthing\n1,person,1", r'labels\.txt:2: "1,person,1" begins with a number'),
        ("- person", r'labels\.txt:1: "- person" begins with a mark'),
        ("person\tthing", "holds a tab"),
        ("person;dog;sky", "holds a semicolon"),
        ("names:\n  - person", r'"names:" looks like yaml'),
        (json.dumps({"data": [], "thing_classes": ["a"]}), "is a json object of data, thing_classes, and no list"),
        ("[1, 2]", "is json, and no list of labels"),
        ('{"person": 1,\n"dog"', "looks like json"),
        ("person\nd\x00g", r"labels\.txt:2: 'd\\x00g' holds the control character '\\x00'; remove it"),
        ("per\u2028son", r"labels\.txt:1: .* holds the control character"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:a", "is a pointer of Git LFS, and no vocabulary file"),
        ("<!doctype html><title>x</title>", "is a page of html"),
        ("[predicates]\non\x1b", r"labels\.txt:2: .* holds the control character"),
    ],
)
def test_refused_with_what_was_found(tmp_path, text, message):
    with pytest.raises(SpadeError, match=message):
        read(tmp_path, text)


def test_characters_that_join_or_turn_text_are_text(tmp_path):
    name = "\u05db\u05dc\u05d1\u200f \U0001f469\u200d\U0001f680"
    assert read(tmp_path, name).names == (name,)


def test_many_labels_in_one_text_are_no_file_name():
    names = [f"label {word}" for word in "abcdefghijklmnopqrstuvwxyz"] * 2
    unique = list(dict.fromkeys(names)) + [f"thing number {word * 9}" for word in "abcdefghijklmnopqrstuvwxyz"]
    assert given_vocabulary(",".join(unique), TRAINED).names == tuple(unique)
    for bad in ("per\tson,dog", "per\udcffson,dog", "per\nson,dog"):
        with pytest.raises(SpadeError, match="holds the control character"):
            given_vocabulary(bad, TRAINED)


def test_labels_in_one_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = given_vocabulary("person, dog ,sky", TRAINED)
    assert (chosen.names, chosen.predicates) == (("person", "dog", "sky"), ("on", "under"))
    assert [label.is_thing for label in chosen.objects] == [True, True, False]
    (tmp_path / "a,b").write_text("cat\n")
    assert given_vocabulary("a,b", TRAINED).names == ("cat",), "a path that exists is one"
    for bad, message in (
        (",,", "names no label"),
        ("", "is empty"),
        ("person,person", "listed twice"),
        ("nowhere.txt", r"nowhere\.txt: no such vocabulary file"),
        ({0: "dog"}, "dict is no list of labels"),
        ([1, 2], "1 is no label"),
        (7, "int is no list of labels"),
    ):
        with pytest.raises(SpadeError, match=message):
            given_vocabulary(bad, TRAINED)
