from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade.core.errors import SpadeError
from spade.structures.vocabulary import Label, Vocabulary, plain_name, psg_lists
from spade.structures.vocabulary_file import read_vocabulary


def read(tmp_path, text, section="objects"):
    path = tmp_path / "labels.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_vocabulary(path, ("default",), section)


def test_official_lists():
    lists = psg_lists()
    assert [len(lists[k]) for k in ("thing_classes", "stuff_classes", "predicate_classes", "plain_names")] == [
        80,
        53,
        56,
        133,
    ]
    assert plain_name("sky-other-merged") == "sky"
    assert plain_name("person") == "person"
    assert plain_name("unicorn") == "unicorn"


def test_everything_a_line_may_hold(tmp_path):
    lines = [
        "\ufeff# my labels",
        "person, man, woman",
        "stuff: lava",
        "sky-other-merged",
        "wombat (animal) # new",
        "",
        "[predicates]",
        "holding",
    ]
    text = "\r\n".join(lines)
    got = read(tmp_path, text)
    assert got.objects == (
        Label("person", True, ("man", "woman")),
        Label("lava", False),
        Label("sky-other-merged", False),
        Label("wombat", True, (), "animal"),
    )
    assert got.predicates == ("holding",)
    assert got.objects[2].prompts == ("sky",)


def test_stuff_is_known_in_any_case(tmp_path):
    assert [label.is_thing for label in read(tmp_path, "Sky\nTREE-merged\nDog\n").objects] == [False, False, True]


def test_default_predicates_and_predicate_files(tmp_path):
    assert read(tmp_path, "dog\n").predicates == ("default",)
    assert read(tmp_path, "holding\nriding\n", "predicates").predicates == ("holding", "riding")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no label found"),
        (b"# nothing\n\n", "no label found"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"dog\ncat, Dog\n", ':2: "Dog" stands in line 1 already'),
        (b"[verbs]\ngo\n", r":1: unknown section \[verbs\]"),
        (b"stuff:\n", ":1: .* names no label"),
        (b", ,\n", ":1: .* names no label"),
        (b"[predicates]\non, atop\n", ':2: "on, atop" is no predicate; write one phrase a line'),
        (b"[predicates]\nstuff: on\n", "is no predicate"),
    ],
)
def test_bad_files_name_line_and_remedy(tmp_path, text, message):
    with pytest.raises(SpadeError, match=message):
        read(tmp_path, text)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(SpadeError, match="no such vocabulary file"):
        read_vocabulary(tmp_path / "none.txt", ())
    with pytest.raises(SpadeError, match="cannot be read"):
        read_vocabulary(tmp_path, ())


names = st.text("abcdefgh -", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.lists(names, min_size=1, max_size=6, unique_by=str.casefold), st.lists(names, max_size=4, unique=True))
def test_json_round_trip(objects, predicates):
    vocabulary = Vocabulary.of(tuple(objects), (), tuple(predicates))
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
