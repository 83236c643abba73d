from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from spade.diffusion.counterfactual import counterfactuals, near_predicates
from spade.diffusion.prompts import relation_prompt

LABELS = ["person", "dog", "person"]
BOXES = [(0, 0, 10, 10), (10, 0, 20, 10), (90, 0, 100, 10)]


def always(predicate, excluded):
    return next(name for name in ("on", "beside", "over") if name != predicate and name not in excluded)


def made(runs, count=9, fits=lambda text: True, nearest=always):
    return [(c.kind, c.prompt.text) for c in counterfactuals(runs, LABELS, BOXES, count, nearest, fits)]


def test_the_farthest_pair_comes_first():
    runs = [[(0, 1, "on"), (0, 2, "beside")]]
    assert made(runs, 1) == [("predicate", "person is on dog, person is on person")], (
        "people are not swapped with each other"
    )
    assert made(runs)[1:] == [
        ("predicate", "person is beside dog, person is beside person"),
        ("roles", "dog is on person, person is beside person"),
    ]


def test_a_symmetric_relation_is_not_swapped():
    assert [kind for kind, _ in made([[(0, 1, "beside")]])] == ["predicate"]


def test_what_the_image_has_is_not_called_wrong():
    runs = [[(0, 1, "on"), (1, 0, "on"), (0, 1, "beside")]]
    assert next(text.split(", ")[0] for kind, text in made(runs) if kind == "predicate") == "person is over dog"
    assert not [kind for kind, _ in made(runs) if kind == "roles"]


def test_a_relation_stays_in_its_run_and_stands_alone_where_that_grows_too_long():
    runs = [[(0, 1, "on")], [(1, 2, "beside")]]
    assert all(", " not in text for _, text in made(runs))
    runs = [[(0, 1, "on"), (1, 2, "beside")]]
    assert all(", " not in text for _, text in made(runs, fits=lambda text: len(text) < 30))


def test_spans_stand_against_the_true_ones():
    (predicate, roles) = counterfactuals([[(0, 1, "on")]], LABELS, BOXES, 1, always, lambda text: True)
    assert predicate.run == roles.run == 0
    assert [right for right, _ in predicate.spans] == list(relation_prompt([(0, 1, "on")], LABELS).spans)
    assert [(right.name, false.name, false.segment) for right, false in predicate.spans] == [
        ("person", "person", 0), ("on", "beside", -1), ("dog", "dog", 1)
    ]  # fmt: skip
    assert [(right.name, false.name, false.role) for right, false in roles.spans] == [
        ("dog", "dog", "subject"), ("on", "on", "predicate"), ("person", "person", "object")
    ]  # fmt: skip


def test_near_predicates_by_hand():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), dim=-1)
    nearest = near_predicates(["on", "over", "beside"], vectors)
    assert nearest("on", set()) == "over"
    assert nearest("on", {"over"}) == "beside"
    assert nearest("on", {"over", "beside"}) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["on", "beside"])), max_size=6, unique=True
    ),
    st.integers(0, 4),
)
def test_every_counterfactual_is_false(triples, count):
    triples = [t for t in triples if t[0] != t[1]]
    for wrong in counterfactuals([triples] if triples else [], LABELS, BOXES, count, always, lambda text: True):
        subject, predicate, target = (false for _, false in wrong.spans)
        assert (subject.segment, target.segment, predicate.name) not in triples
