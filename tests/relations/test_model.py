from __future__ import annotations

import pytest
import torch

from spade.relations.losses import Truth, _one_predicate_a_pair, _renumber, stage2_losses
from spade.relations.model import Heads, HeadsConfig, Nodes, TextClassifier
from spade.segmentation.mask_generator import mask_loss

CONFIG = HeadsConfig(strides=(4, 8, 16, 32), channels=(8, 16, 16, 16), clip_dim=12, classes=3, width=32, queries=5, graph_layers=2)


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    return Heads(CONFIG)


def features(batch=2, side=64):
    torch.manual_seed(1)
    return [torch.randn(batch, c, side // s, side // s) for s, c in zip(CONFIG.strides, CONFIG.channels, strict=True)]


def words(count, seed):
    return torch.nn.functional.normalize(torch.randn(count, 12, generator=torch.Generator().manual_seed(seed)), dim=1)


def truth(masks, classes, triples):
    return Truth(masks, torch.tensor(classes, dtype=torch.int64), torch.tensor(triples, dtype=torch.int64).reshape(-1, 3))


def test_config_round_trip():
    assert HeadsConfig.from_json(CONFIG.to_json()) == CONFIG


def test_any_number_of_words(heads):
    for count in (1, 3, 200):
        _, classes = heads.propose(features(), words(count, 2))
        assert classes[-1].shape == (2, 5, count + 1)


def test_the_classifier_prefers_its_own_text():
    torch.manual_seed(0)
    classifier = TextClassifier(8, 12, with_nothing=False)
    text = words(4, 3)
    vectors = torch.randn(5, 8)
    logits = classifier(vectors, text)
    projected = torch.nn.functional.normalize(classifier.project(vectors), dim=-1)
    assert torch.allclose(logits, classifier.scale.exp() * projected @ text.T, atol=1e-5), "before training the centre is 0"
    order = [2, 0, 3, 1]
    assert torch.allclose(classifier(vectors, text[order]), logits[:, order], atol=1e-5)


def test_losses_of_odd_batches_are_finite_and_reach_every_parameter(heads):
    masks = torch.zeros(3, 64, 64)
    masks[0, :32], masks[1, 32:], masks[2, :, :8] = 1, 1, 1
    truths = [
        truth(masks, [0, 1, 2], [[0, 1, 0], [0, 1, 3], [2, 1, 1]]),
        truth(masks[:1], [2], []),
    ]
    torch.manual_seed(2)
    terms = stage2_losses(heads, mask_loss(heads.decoder_config), features(), truths, words(3, 4), words(4, 5))
    assert set(terms) == {"mask", "rel", "pair", "rqc"}
    sum(terms.values()).backward()
    # nn.MultiheadAttention and the deformable encoder keep some biases that no loss depends on by construction.
    silent = {n for n, p in heads.named_parameters() if p.grad is None}
    assert not silent, silent
    empty = stage2_losses(heads, mask_loss(heads.decoder_config), features(), [truth(masks[:0], [], [])] * 2, words(3, 4), words(4, 5))
    assert all(torch.isfinite(term) for term in empty.values())


def test_more_segments_than_queries(heads):
    masks = torch.zeros(9, 64, 64)
    for i, mask in enumerate(masks):
        mask[7 * i : 7 * i + 7] = 1
    truths = [truth(masks, [i % 3 for i in range(9)], [[i, i + 1, 0] for i in range(8)])]
    terms = stage2_losses(heads, mask_loss(heads.decoder_config), features(1), truths, words(3, 4), words(4, 5))
    assert all(torch.isfinite(term) for term in terms.values())


def test_renumbering_and_one_predicate_a_pair():
    triples = torch.tensor([[0, 2, 1], [2, 3, 0], [1, 0, 2]])
    assert _renumber(triples, torch.tensor([0, 2, 3]), 4).tolist() == [[0, 1, 1], [1, 2, 0]]
    torch.manual_seed(0)
    drawn = {int(_one_predicate_a_pair(torch.tensor([[0, 1, 4], [0, 1, 7]]), 2)[0, 1]) for _ in range(30)}
    assert drawn == {4, 7}


@pytest.mark.parametrize("count", [1, 2, 200])
def test_one_segment_and_two_hundred(heads, count):
    torch.manual_seed(3)
    masks = (torch.rand(count, 16, 16) > 0.9).float()
    nodes = Nodes(torch.randn(count, 32), masks, words(count, 6))
    with torch.no_grad():
        refined, present = heads.refine([nodes], torch.randn(1, 32, 16, 16))
        scores = heads.relate(refined[0], masks, torch.randn(20, 32), words(4, 5))
    assert present.sum() == count
    assert len(scores.pairs) == min(CONFIG.pairs, count * (count - 1))
    assert torch.isfinite(scores.predicate_logits).all()


def test_relations_do_not_depend_on_the_order_of_segments(heads):
    torch.manual_seed(4)
    masks = (torch.rand(4, 16, 16) > 0.5).float()
    nodes = Nodes(torch.randn(4, 32), masks, words(4, 6))
    pixels, memory, predicates = torch.randn(1, 32, 16, 16), torch.randn(20, 32), words(4, 5)
    order = [2, 0, 3, 1]
    moved = Nodes(nodes.query[order], masks[order], nodes.label[order])
    found = []
    for these, names in ((nodes, [0, 1, 2, 3]), (moved, order)):
        with torch.no_grad():
            scores = heads.relate(heads.refine([these], pixels)[0][0], these.masks, memory, predicates)
        found.append({(names[s], names[o]): float(v) for (s, o), v in zip(scores.pairs.tolist(), scores.pair_logits, strict=True)})
    assert found[0].keys() == found[1].keys()
    assert all(abs(found[0][pair] - found[1][pair]) < 1e-4 for pair in found[0])
