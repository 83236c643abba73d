import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spade.open_vocabulary.unseen_names import (
    Naming,
    UnseenScorer,
    ZeroShotEvidence,
    favours_unseen,
    gate,
    kind_evidence,
    mix_seen_unseen,
    share_unseen,
    trained_names,
)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_names_of_each_kind_share_what_their_kind_has_by_hand():
    learned = torch.tensor([[0.5, 0.1, 0.2, 0.0]])  # total 0.8; the rest is "nothing"
    untrained = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    kinds = torch.tensor([True, True, False, False])
    # ZeroShotEvidence gives both kinds a half; at odds 3 the new names get three quarters, in equal parts.
    found = mix_seen_unseen(learned, untrained, kinds, 3.0)
    assert torch.allclose(found, torch.tensor([[0.8 * 0.25 * 5 / 6, 0.8 * 0.25 / 6, 0.3, 0.3]]))


@given(st.integers(0, 1000), st.floats(0.01, 50), st.lists(st.booleans(), min_size=1, max_size=8))
def test_the_total_stays_and_the_order_within_a_kind(seed, odds, kinds):
    generator = torch.Generator().manual_seed(seed)
    learned = torch.rand(3, len(kinds), generator=generator).softmax(-1) * 0.7
    untrained, is_seen = torch.randn(3, len(kinds), generator=generator), torch.tensor(kinds)
    found = mix_seen_unseen(learned, untrained, is_seen, odds)
    assert torch.allclose(found.sum(-1), learned.sum(-1), atol=1e-5)
    for kind, scores in ((is_seen, learned), (~is_seen, untrained)):
        ordered = found[:, kind].gather(-1, scores[:, kind].argsort(-1))
        assert (ordered.diff(dim=-1) >= -1e-6).all()
    if all(kinds):
        assert torch.equal(found, learned)


def test_more_odds_more_for_the_new():
    learned, untrained, kinds = torch.tensor([[0.9, 0.1]]), torch.zeros(1, 2), torch.tensor([True, False])
    new = [float(mix_seen_unseen(learned, untrained, kinds, odds)[0, 1]) for odds in (0.5, 1, 4)]
    assert new == pytest.approx([1 / 3, 0.5, 0.8])


def test_who_is_sure_gives_nothing_away():
    kinds = torch.tensor([True, True, False])
    logits = torch.tensor([[0.5, 0.25, 9.0], [1.0, 0.0, 9.0]]).log()
    unsure = gate(logits, kinds, logits[:, :0])
    assert torch.allclose(unsure, torch.tensor([[1 / 3], [0.0]])), "of names that training had"
    learned, untrained = logits.softmax(-1), torch.zeros(2, 3)
    found = mix_seen_unseen(learned, untrained, kinds, 6 * unsure)
    # ZeroShotEvidence gives the new name a third; at odds 2 it has as much as the others together. Where nothing is
    # unsure, nothing.
    assert found[:, 2].tolist() == pytest.approx([0.5, 0.0])


def test_who_is_asked_for_one_name_is_not_sure_of_it():
    kinds, logits = torch.tensor([True, False]), torch.tensor([[2.0, 0.0]])
    others = torch.tensor([[5.0, 1.0]])
    certain = torch.tensor([2.0, 5.0, 1.0]).softmax(0)[0]
    assert float(gate(logits, kinds, others)) == pytest.approx(1 - float(certain))
    assert float(gate(logits, kinds, others[:, :0])) == pytest.approx(0.0), "had training known it alone"


def test_weights_find_what_tells_names_apart():
    """Views that point to the name's text, attention that is noise: the first gets weight, the second hardly any."""
    texts, names = unit(6, 16), torch.arange(600) % 6
    views = torch.nn.functional.normalize(texts[names] + 0.8 * unit(600, 16, seed=1), dim=-1)
    looked = torch.randn(600, 2, 6, generator=torch.Generator().manual_seed(2))
    scores = UnseenScorer(16, 2)
    scores.fit(ZeroShotEvidence(views, looked), texts, names)
    assert (scores(ZeroShotEvidence(views, looked), texts).argmax(1) == names).float().mean() > 0.9
    assert scores.weights[0] > 5
    assert scores.weights[1:].abs().max() < 0.3
    # Names that were not there are found as well.
    others = unit(4, 16, seed=3)
    seen = torch.nn.functional.normalize(others + 0.3 * unit(4, 16, seed=4), dim=-1)
    found = scores(ZeroShotEvidence(seen, torch.zeros(4, 2, 1)), others)
    assert torch.equal(found.argmax(1), torch.arange(4)), "without attention, too"


def test_nothing_to_fit_leaves_everything_as_it_is():
    scores = UnseenScorer(4, 1)
    before = scores.weights.clone()
    scores.fit(ZeroShotEvidence(torch.zeros(0, 4), torch.zeros(0, 1, 3)), unit(3, 4), torch.zeros(0, dtype=torch.int64))
    assert torch.equal(scores.weights, before)


def test_a_name_is_known_by_any_of_its_words():
    known = [("person", "man"), ("dog",)]
    assert trained_names([("Man",), ("cat", "DOG"), ("boat",)], known).tolist() == [True, True, False]
    assert trained_names([], known).shape == (0,)


def test_a_share_by_hand():
    seen, zero_shot = torch.tensor([[0.6, 0.2, 0.1]]), torch.tensor([[9.0, 0.0, 0.0]])
    kinds = torch.tensor([True, False, False])
    shared = share_unseen(seen, zero_shot, kinds, torch.tensor([[0.4]]))
    assert torch.allclose(shared, 0.9 * torch.tensor([[0.6, 0.2, 0.2]]))


def scorer_of(view=0.0, attention=1.0):
    scorer = UnseenScorer(4, 1)
    scorer.weights = torch.tensor([view, attention])
    scorer.sharpness = 1.0
    return scorer


def test_evidence_favours_the_new_by_hand():
    """Attention alone: a new name looked at e^2 times as much as the mean, two known ones as much as the mean."""
    texts = unit(3, 4)
    naming = Naming(torch.full((1, 3), 1 / 3), torch.zeros(1, 3), texts, torch.tensor([True, True, False]))
    evidence = ZeroShotEvidence(unit(1, 4, seed=1), torch.tensor([[[0.0, 0.0, 2.0]]]))
    assert favours_unseen(scorer_of(), evidence, naming, texts[:0]).tolist() == pytest.approx([2.0])
    two = replace(naming, is_seen=torch.tensor([True, False, False]))  # (1 + e^2) / 2 against 1
    assert favours_unseen(scorer_of(), evidence, two, texts[:0]).tolist() == pytest.approx([1.4338], abs=1e-4)


def test_a_region_of_a_known_name_is_none_of_the_new_whether_it_is_asked_for_or_not():
    texts = unit(3, 4)
    naming = Naming(torch.full((1, 3), 1 / 3), torch.zeros(1, 3), texts, torch.tensor([True, True, False]))
    view = ZeroShotEvidence(texts[:1], torch.zeros(1, 1, 3))  # looks as the first known name reads
    asked = favours_unseen(scorer_of(view=10.0), view, naming, texts[:0])
    fewer = Naming(naming.scores[:, 1:], naming.logits[:, 1:], texts[1:], naming.is_seen[1:])
    without = favours_unseen(scorer_of(view=10.0), replace(view, attention=torch.zeros(1, 1, 2)), fewer, texts[:1])
    assert without.item() == pytest.approx(asked.item(), abs=1e-5)
    assert without.item() < 0
    forgotten = favours_unseen(scorer_of(view=10.0), replace(view, attention=torch.zeros(1, 1, 2)), fewer, texts[:0])
    assert forgotten.item() > asked.item() + 1, "what the list of all that training had is for"


def test_what_a_classifier_knows_of_kinds_speaks_for_new_names_of_that_kind():
    """Two known things with logits 0 and 1, one known stuff with 3: odds of a thing are (1 + e) / e^3."""
    logits, things = torch.tensor([[0.0, 3.0, 1.0]]), torch.tensor([True, False, True])
    thing = (1 + math.e) / (1 + math.e + math.e**3)
    said = kind_evidence(logits, things, torch.tensor([True, False])).exp()
    assert said.tolist() == [pytest.approx([thing, 1 - thing])]


@pytest.mark.parametrize("kind", [True, False])
def test_a_classifier_of_one_kind_says_nothing_of_the_other(kind):
    said = kind_evidence(torch.tensor([[0.0, 3.0]]), torch.tensor([kind, kind]), torch.tensor([True, False]))
    assert said.tolist() == [[0.0, 0.0]]
    nothing = kind_evidence(torch.zeros(1, 0), torch.zeros(0, dtype=torch.bool), torch.tensor([True, False]))
    assert nothing.tolist() == [[0.0, 0.0]], "no name that training had"
