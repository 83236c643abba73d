"""Which names a split list keeps from training, and that they are kept from it everywhere."""

from __future__ import annotations

import hashlib
import json

import pytest

from spade.core.errors import SpadeError
from spade.data.psg_reader import load_psg
from spade.data.split_lists import FILES, SplitList, official_list, own_split, read_split, split_of
from spade.steps.world import run as make_world
from spade.structures.vocabulary import Vocabulary, psg_lists
from spade.world.dataset import novel_names
from tests.evaluation.helpers import dataset

PSG = psg_lists()
VG = official_list("vg150_ovsgtr_splits")


def psg():
    return dataset(things=PSG["thing_classes"], stuff=PSG["stuff_classes"], predicates=PSG["predicate_classes"])


def vg150():
    return dataset(things=tuple(VG["vg150_objects"][1:]), stuff=(), predicates=tuple(VG["vg150_predicates"][1:]))


def counts(split):
    return tuple(None if names is None else len(names) for names in (split.novel_objects, split.novel_predicates))


def test_published_counts():
    """16 of PSG's 56 predicates and 30 of VG150's 50 (PGSG); 45 of 150 objects and 15 of 50 predicates (OvSGTR)."""
    assert counts(read_split("pgsg", psg())) == (None, 16)
    assert counts(read_split("pgsg", vg150())) == (None, 30)
    assert counts(read_split("ovsgtr", vg150())) == (45, 15)
    assert counts(read_split("ovsgtr:ovd", vg150())) == (45, None)
    assert counts(read_split("ovsgtr:ovr", vg150())) == (None, 15)
    assert read_split("ovsgtr:ovdr", vg150()).sha256 == read_split("ovsgtr", vg150()).sha256
    assert read_split("pgsg", psg()).version == "cff742070366"


def test_our_objects_follow_the_rule():
    """Of the things other than person, and of the stuff, the 30 % whose names have the lowest SHA-256."""
    expected = set()
    for kind in ("thing_classes", "stuff_classes"):
        names = sorted(set(PSG[kind]) - {"person"}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        expected |= set(names[: round(0.3 * len(names))])
    split = read_split("psg-objects-v1", psg())
    assert split.novel_objects == expected
    assert (counts(split), split.version) == ((40, None), "1")


def test_lists_are_joined():
    split = read_split("pgsg+psg-objects-v1", psg())
    assert (counts(split), split.name, split.version) == ((40, 16), "pgsg+psg-objects-v1", "cff742070366+1")
    assert split.novel_predicates == read_split("pgsg", psg()).novel_predicates


def test_the_worlds_list_is_that_of_its_settings(tmp_path):
    make_world(tmp_path / "closed", 5, (128, 128), 3, _run(tmp_path))
    closed = load_psg(tmp_path / "closed")
    assert split_of(None, closed) is None
    for setting in ("ovr", "ovdr"):
        make_world(tmp_path / setting, 5, (128, 128), 3, _run(tmp_path), setting=setting)
        made = load_psg(tmp_path / setting)
        split = read_split(f"world:{setting}", closed)
        assert (split.novel_objects or frozenset(), split.novel_predicates) == novel_names(setting)
        assert own_split(made) == split, "what the file calls novel has the name of the list"
        applied, annotated = split.applied(closed).for_training(), made.for_training()
        for ours, theirs in zip(applied.records[:4], annotated.records[:4], strict=True):
            assert [s.category for s in ours.segments] == [s.category for s in theirs.segments]
            assert ours.relations == theirs.relations, "a closed world by this list is trained as the open world"
        assert applied.vocabulary == annotated.vocabulary


def test_kept_names_come_back_the_same():
    split = read_split("pgsg+psg-objects-v1", psg())
    assert SplitList.from_json(json.loads(json.dumps(split.to_json()))) == split
    altered = split.to_json() | {"novel": {"objects": [], "predicates": []}}
    with pytest.raises(SpadeError, match="its names are not those of its hash"):
        SplitList.from_json(altered)


def test_names_that_a_model_was_shown():
    split = read_split("world:ovdr", world_names())
    seen = Vocabulary.of(("person", "cat"), ("sand",), ("on", "chasing"))
    assert split.shown_to(seen) == ("cat", "sand", "chasing")
    assert read_split("world:ovr", world_names()).shown_to(seen) == ("chasing",)


def test_what_a_list_may_not_do():
    data = world_names()
    with pytest.raises(SpadeError, match="`split_list=pgsg:ovd`: pgsg is no list of objects"):
        read_split("pgsg:ovd", psg())
    for name in FILES:
        with pytest.raises(SpadeError, match=f"`split_list={name}`: is for the names of"):
            read_split(name, dataset())
    nothing = SplitList("mine.json", None, frozenset({"zebra"}), None)
    with pytest.raises(SpadeError, match="calls no name of"):
        nothing.applied(data)
    with pytest.raises(SpadeError, match="calls all objects of"):
        SplitList("mine.json", None, frozenset(data.classes), None).applied(data)
    novel = read_split("world:ovdr", data).applied(data)
    with pytest.raises(SpadeError, match="does not call 'boat' novel, which"):
        read_split("world:ovr", data).applied(novel)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is no json object with novel_objects"),
        ({"novel_predicates": ["flies"]}, 'novel_predicates has "flies", which is not among'),
        ({"novel_objects": "a"}, "novel_objects is no list of names"),
        ({"novel_objects": ["a"], "base_objects": ["a"]}, '"a" is both base and novel'),
        ({"data": []}, "has none of novel_objects, base_objects"),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(SpadeError, match=message):
        read_split(str(tmp_path / "s.json"), dataset())
    with pytest.raises(SpadeError, match="no such split list"):
        read_split("none", dataset())


def test_files(tmp_path):
    (tmp_path / "a+b.json").write_text(json.dumps({"novel_objects": ["a"], "base_predicates": ["p"], "version": 3}))
    split = read_split(str(tmp_path / "a+b.json"), dataset())
    assert (split.name, split.version) == ("a+b.json", "3")
    assert (split.novel_objects, split.novel_predicates) == ({"a"}, {"q", "r"})
    assert counts(read_split(f"{tmp_path / 'a+b.json'}:ovr", dataset())) == (None, 2)


def world_names():
    lists = official_list("world")
    objects = tuple(sorted([*lists["base_objects"], *lists["novel_objects"]]))
    return dataset(things=objects, stuff=(), predicates=(*lists["base_predicates"], *lists["novel_predicates"]))


def _run(folder):
    from spade.core.workspace import Workspace
    from spade.steps.common import Run

    return Run(Workspace(folder / "workspace"))
