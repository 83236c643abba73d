from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from spade.relations.head import RelationHead
from spade.relations.losses import Imbalance, relation_losses
from spade.segmentation.losses import mask_loss
from spade.training.joint_losses import found_where_fitting, renumbered, stage2_losses
from tests.relations.samples import (
    BOXES,
    WEIGHTS,
    features,
    some_attention,
    some_boxes,
    some_memory,
    some_nodes,
    truth,
    words,
)


def test_losses_of_odd_batches_are_finite_and_reach_every_parameter(heads):
    masks = torch.zeros(3, 64, 64)
    masks[0, :32], masks[1, 32:], masks[2, :, :8] = 1, 1, 1
    truths = [
        truth(masks, [0, 1, 2], [[0, 1, 0], [0, 1, 3], [2, 1, 1]]),
        truth(masks[:1], [2], []),
    ]
    torch.manual_seed(2)
    terms = stage2_losses(
        heads,
        mask_loss(heads.proposer.decoder_config),
        features(),
        some_attention(2),
        truths,
        words(3, 4),
        words(4, 5),
        WEIGHTS,
    )
    assert set(terms) == {"mask", "rel", "pair", "rqc"}
    sum(terms.values()).backward()
    # nn.MultiheadAttention and the deformable encoder keep some biases that no loss depends on by construction.
    silent = {n for n, p in heads.named_parameters() if p.grad is None}
    assert not silent, silent
    empty = stage2_losses(
        heads,
        mask_loss(heads.proposer.decoder_config),
        features(),
        None,
        [truth(masks[:0], [], [])] * 2,
        words(3, 4),
        words(4, 5),
        WEIGHTS,
    )
    assert all(torch.isfinite(term) for term in empty.values())


def testrenumbereding():
    triples = torch.tensor([[0, 2, 1], [2, 3, 0], [1, 0, 2]])
    assert renumbered(triples, torch.tensor([0, 2, 3]), 4).tolist() == [[0, 1, 1], [1, 2, 0]]


def test_adjusted_predicates_have_their_prior_in_the_loss(heads):
    """One relation: cross entropy of its logits and the log prior (Menon et al., 2021)."""
    nodes, prior = some_nodes(4, 6), Imbalance.of(torch.tensor([60, 20, 8, 2]), logit_adjustment=0.5)
    (row,) = heads.relations.relate([nodes], some_memory(1), words(4, 5), [torch.tensor([[0, 1]])])
    terms = relation_losses(
        heads.relations,
        [nodes],
        [torch.tensor([[0, 1, 3]])],
        some_memory(1),
        words(4, 5),
        WEIGHTS | {"rel": 1.0},
        prior,
    )
    by_hand = -(row.predicate_logits[0] + prior.log_prior).log_softmax(0)[3]
    assert torch.isclose(terms["rel"], by_hand, atol=1e-5)
    assert not torch.isclose(by_hand, -row.predicate_logits[0].log_softmax(0)[3], atol=1e-2)


def test_a_batch_without_any_pair_has_a_loss_all_the_same():
    heads = RelationHead(BOXES)
    terms = relation_losses(
        heads,
        [some_boxes(0, 1), some_boxes(1, 2)],
        [torch.zeros(0, 3, dtype=torch.int64)] * 2,
        None,
        words(4, 5),
        WEIGHTS,
    )
    sum(terms.values()).backward()


@pytest.mark.parametrize("most", [4, 16, 1000])
def test_where_pairs_are_drawn_their_odds_are_those_among_all(most):
    heads = RelationHead(replace(BOXES, dropout=0.0))
    with torch.no_grad():
        heads.related[-1].weight.zero_()
        heads.related[-1].bias.fill_(math.log(3 / (9 * 8 - 3)))
    triples = [torch.tensor([[0, 1, 2], [2, 0, 1], [5, 6, 0]])]
    relation_losses(heads, [some_boxes(9, 1)], triples, None, words(4, 5), WEIGHTS, most=most)["pair"].backward()
    assert heads.related[-1].bias.grad.abs() < 1e-6, "three of 72 pairs are annotated, however many are drawn"


def test_imbalance_by_hand():
    counts = torch.tensor([7, 1, 0])
    prior = torch.tensor([8 / 11, 2 / 11, 1 / 11])
    assert torch.allclose(Imbalance.of(counts, logit_adjustment=0.5).log_prior, 0.5 * prior.log())
    weight = Imbalance.of(counts, reweighting=1.0).weight
    assert torch.allclose(weight, torch.tensor([11 / 8, 11 / 2, 11.0]) / 3)
    assert torch.isclose((weight * prior).sum(), torch.tensor(1.0))
    assert Imbalance.of(counts) == Imbalance()


def test_a_rare_predicate_weighs_more_where_it_stands_alone(heads):
    """One relation an image: the loss is its cross entropy times its weight, and the image's own weights do not
    cancel.
    """

    def told(predicate, imbalance):
        torch.manual_seed(7)
        triples = [torch.tensor([[0, 1, predicate]])]
        return relation_losses(
            heads.relations, [some_nodes(4, 6)], triples, some_memory(1), words(4, 5), WEIGHTS, imbalance
        )["rel"]

    imbalance = Imbalance.of(torch.tensor([60, 20, 8, 2]), reweighting=0.5)
    for predicate in range(4):
        assert torch.isclose(told(predicate, imbalance), imbalance.weight[predicate] * told(predicate, Imbalance()))


def test_weights_scale_their_terms(heads):
    terms = []
    for weights in (WEIGHTS, {"rel": 2.0, "pair": 0.0, "rqc": 0.6}):
        torch.manual_seed(7)
        terms.append(
            relation_losses(
                heads.relations, [some_nodes(4, 6)], [torch.tensor([[0, 1, 2]])], some_memory(1), words(4, 5), weights
            )
        )
    assert torch.isclose(2 * terms[0]["rel"], terms[1]["rel"])
    assert terms[1]["pair"] == 0
    assert torch.isclose(terms[0]["rqc"], terms[1]["rqc"])


def test_found_masks_stand_in_where_they_fit():
    annotated = torch.zeros(3, 8, 8)
    annotated[0, :4], annotated[1, 4:, :4], annotated[2, 4:, 4:] = 1, 1, 1
    logits = torch.full((3, 4, 4), -5.0)
    logits[0, :2, :3] = 5.0  # three quarters of the first
    logits[1, :2] = 5.0  # elsewhere than the second; nothing of the third
    used = found_where_fitting(logits, annotated)
    assert used[0, :4, :6].mean() > 0.8
    assert used[0, :4, 7:].sum() == 0
    assert torch.equal(used[1:], annotated[1:])
    assert found_where_fitting(logits[:0], annotated[:0]).shape == (0, 8, 8)
