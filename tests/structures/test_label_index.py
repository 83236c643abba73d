import pytest

from spade.structures.label_index import LabelIndex, LabelMatch
from spade.structures.vocabulary import Label, Vocabulary, known_supercategory, named_label, psg_lists

PSG = Vocabulary.of(tuple(psg_lists()["thing_classes"]), tuple(psg_lists()["stuff_classes"]), ())


@pytest.fixture(scope="module")
def table():
    return LabelIndex.of(PSG.objects)


def test_a_known_name_is_itself_in_official_or_plain_words_and_any_case(table):
    for name in ("sky-other-merged", "sky", "Sky"):
        found = table.find(Label(name, True))
        assert PSG.objects[found.category].name == "sky-other-merged"
        assert (table.groups[found.group], found.is_thing, found.matched_via) == ("sky", False, None), (
            "the table knows that sky is stuff"
        )


def test_what_an_unknown_label_stands_for_in_order(table):
    everything = Label("corgi", True, ("puppy", "dog"), "animal")
    dog = [label.name for label in PSG.objects].index("dog")
    animal = table.groups.index("animal")
    assert table.find(everything) == LabelMatch(dog, animal, True, 'its synonym "dog"')
    assert table.find(Label("corgi", True, ("puppy",), "Animal")) == LabelMatch(
        -1, animal, True, 'its supercategory "animal"'
    )
    assert table.find(Label("corgi", True, (), "pets")) == LabelMatch(-1, -1, True, "an unknown thing")
    assert table.find(Label("slime", False)) == LabelMatch(-1, -1, False, "unknown stuff")


def test_groups_of_other_lists_are_those_that_their_labels_give():
    table = LabelIndex.of([Label("robot", True, (), "machine"), Label("dog", True), Label("goo", False)])
    assert table.groups == ("animal", "machine")
    assert table.find(Label("drone", True, (), "machine")).group == 1
    assert table.find(Label("goo", False)).group == -1


def test_every_official_name_has_its_supercategory():
    assert len(psg_lists()["supercategories"]) == 133
    assert known_supercategory("Dog") == "animal"
    assert known_supercategory("sky") == known_supercategory("sky-other-merged") == "sky"
    assert known_supercategory("corgi") is None
    assert [named_label(name).is_thing for name in ("dog", "sky", "corgi")] == [True, False, True]
