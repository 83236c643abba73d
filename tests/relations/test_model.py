from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from spade.open_vocabulary import TextClassifier
from spade.relations.losses import WEIGHTS, Imbalance, Truth, _fitting, _renumber, relation_losses, stage2_losses
from spade.relations.model import Heads, HeadsConfig, Nodes, RelationConfig, RelationHeads, likest_mean
from spade.relations.nodes import mask_boxes
from spade.relations.pairs import DETAILED
from spade.segmentation.mask_generator import cell_places, mask_loss
from spade.segmentation.proposer import ProposerConfig

CONFIG = HeadsConfig(
    ProposerConfig(strides=(4, 8, 16, 32), channels=(8, 16, 16, 16), clip_dim=12, classes=3, width=32, queries=5),
    RelationConfig(clip_dim=12, width=32, layers=2),
)


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    return Heads(CONFIG)


def features(batch=2, side=64):
    torch.manual_seed(1)
    return [torch.randn(batch, c, side // s, side // s) for s, c in zip(CONFIG.proposer.strides, CONFIG.proposer.channels, strict=True)]


def words(count, seed):
    return torch.nn.functional.normalize(torch.randn(count, 12, generator=torch.Generator().manual_seed(seed)), dim=1)


def some_attention(batch):
    return torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(8)) / 10


def truth(masks, classes, triples, unnamed=None):
    rows = torch.tensor(triples, dtype=torch.int64).reshape(-1, 3)
    return Truth(masks, torch.tensor(classes, dtype=torch.int64), rows, masks[:0] if unnamed is None else unnamed)


def test_config_round_trip():
    assert HeadsConfig.from_json(CONFIG.to_json()) == CONFIG


def test_any_number_of_words(heads):
    for count in (1, 3, 200):
        _, classes = heads.proposer(features(), words(count, 2))
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
    terms = stage2_losses(heads, mask_loss(heads.proposer.decoder_config), features(), some_attention(2), truths, words(3, 4), words(4, 5))
    assert set(terms) == {"mask", "rel", "pair", "rqc"}
    sum(terms.values()).backward()
    # nn.MultiheadAttention and the deformable encoder keep some biases that no loss depends on by construction.
    silent = {n for n, p in heads.named_parameters() if p.grad is None}
    assert not silent, silent
    empty = stage2_losses(
        heads, mask_loss(heads.proposer.decoder_config), features(), None, [truth(masks[:0], [], [])] * 2, words(3, 4), words(4, 5)
    )
    assert all(torch.isfinite(term) for term in empty.values())


def test_more_segments_than_queries(heads):
    masks = torch.zeros(9, 64, 64)
    for i, mask in enumerate(masks):
        mask[7 * i : 7 * i + 7] = 1
    truths = [truth(masks, [i % 3 for i in range(9)], [[i, i + 1, 0] for i in range(8)])]
    terms = stage2_losses(heads, mask_loss(heads.proposer.decoder_config), features(1), some_attention(1), truths, words(3, 4), words(4, 5))
    assert all(torch.isfinite(term) for term in terms.values())


def test_renumbering():
    triples = torch.tensor([[0, 2, 1], [2, 3, 0], [1, 0, 2]])
    assert _renumber(triples, torch.tensor([0, 2, 3]), 4).tolist() == [[0, 1, 1], [1, 2, 0]]


def some_nodes(count, seed, config=CONFIG.relations):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(count, 16, 16, generator=generator) > 0.5).float()
    query, pixels = torch.randn(count, 32, generator=generator), torch.randn(32, 16, 16, generator=generator)
    return Nodes.of(query, pixels, words(count, seed), masks, mask_boxes(masks), config, torch.rand(4, 8, 8, generator=generator) + 0.01)


def some_memory(batch, seed=9):
    return torch.randn(batch, 20, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_one_segment_and_two_hundred(heads, count):
    with torch.no_grad():
        _, present = heads.relations.refine([some_nodes(count, 3)])
        (scores,) = heads.relations.relate([some_nodes(count, 3)], some_memory(1), words(4, 5))
    assert present.sum() == count
    assert len(scores.pairs) == min(CONFIG.relations.pairs, max(0, count * (count - 1)))
    assert scores.predicate_logits.shape == (len(scores.pairs), 4)
    assert torch.isfinite(scores.predicate_logits).all()


def by_name(scores, names):
    return {(names[s], names[o]): float(v) for (s, o), v in zip(scores.pairs.tolist(), scores.pair_logits, strict=True)}


def test_relations_do_not_depend_on_the_order_of_segments(heads):
    nodes, order = some_nodes(4, 4), [2, 0, 3, 1]
    moved = Nodes(*(getattr(nodes, name)[order] for name in ("query", "pooled", "label", "boxes", "area")))
    with torch.no_grad():
        (plain,), (other,) = (heads.relations.relate([these], some_memory(1), words(4, 5)) for these in (nodes, moved))
    one, two = by_name(plain, [0, 1, 2, 3]), by_name(other, order)
    assert one.keys() == two.keys()
    assert all(abs(one[pair] - two[pair]) < 1e-4 for pair in one)


def test_pairs_know_where_in_the_picture_they_look():
    """Cells that change places, each with what is seen there, are another picture to pairs that know places, and none to others."""
    nodes, memory, order = some_nodes(4, 4), some_memory(1), torch.randperm(20, generator=torch.Generator().manual_seed(3))
    places = cell_places(((2, 2), (4, 4)), 32)
    for told in (True, False):
        torch.manual_seed(0)
        heads = RelationHeads(replace(CONFIG.relations, places=told)).eval()
        with torch.no_grad():
            (plain,), (mixed,), (moved,) = (
                heads.relate([nodes], memory[:, cells], words(4, 5), places=places[:, there])
                for cells, there in ((range(20), range(20)), (order, range(20)), (order, order))
            )
        assert torch.allclose(plain.predicate_logits, moved.predicate_logits, atol=1e-4)
        assert torch.allclose(plain.predicate_logits, mixed.predicate_logits, atol=1e-4) != told


OPTIONS = [
    {"context": ()},
    {"context": ("near",)},
    {"context": ("near", "far")},
    {"attention": "literal"},
    {"neighbours": "soft"},
    {"nearness": "masks"},
    {"nearness": "masks", "neighbours": "soft"},
    {"selector": "cosine"},
    {"geometry": False},
    {"layers": 0},
    {"gate": True},
    {"gate": True, "geometry": False},
    {"unions": True},
    {"maps": True},
    {"contrast": 0.5},
    {"look": False},
    {"octaves": 3},
    {"octaves": 3, "gate": True, "facts": DETAILED},
    {"edges": True, "dropout": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[str(option) for option in OPTIONS])
def test_every_option_learns_and_comes_back_from_json(options):
    torch.manual_seed(5)
    config = HeadsConfig(CONFIG.proposer, replace(CONFIG.relations, **options))
    assert HeadsConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    heads = RelationHeads(config.relations)
    triples = [torch.tensor([[0, 1, 2], [2, 0, 1]])]
    terms = relation_losses(heads, [some_nodes(4, 6, config.relations)], triples, some_memory(1), words(4, 5))
    sum(terms.values()).backward()
    silent = {name for name, p in heads.named_parameters() if p.grad is None}
    assert all(name.startswith("neighbours.") for name in silent), silent
    assert not silent or not config.relations.layers


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=[str(option) for option in ({}, *OPTIONS)])
def test_images_of_a_batch_do_not_touch_each_other(options):
    torch.manual_seed(5)
    heads = RelationHeads(replace(CONFIG.relations, **options)).eval()
    with torch.no_grad():
        for p in heads.parameters():
            p += 0.1 * torch.randn_like(p)  # what starts at zero says something, too
        images, memory = [some_nodes(count, count, heads.config) for count in (3, 1, 6, 0)], some_memory(4)
        pairs = [torch.tensor(list(permutations(range(len(nodes)), 2)), dtype=torch.int64).reshape(-1, 2) for nodes in images]
        together = heads.relate(images, memory, words(4, 5), pairs)
        for i, nodes in enumerate(images):
            (alone,) = heads.relate([nodes], memory[i : i + 1], words(4, 5), pairs[i : i + 1])
            assert torch.allclose(alone.similarity, together[i].similarity, atol=1e-5)
            assert torch.allclose(alone.predicate_logits, together[i].predicate_logits, atol=1e-4)
            assert torch.allclose(alone.pair_logits, together[i].pair_logits, atol=1e-4)


@pytest.mark.parametrize("neighbours", ["hard", "soft"])
def test_order_does_not_matter_where_masks_say_who_is_near(neighbours):
    torch.manual_seed(5)
    config = replace(CONFIG.relations, nearness="masks", neighbours=neighbours)
    heads, nodes, order = RelationHeads(config).eval(), some_nodes(5, 5, config), torch.tensor([3, 1, 4, 0, 2])
    moved = replace(nodes, **{name: getattr(nodes, name)[order] for name in ("query", "pooled", "label", "boxes", "area")})
    assert nodes.gaps is not None
    moved = replace(moved, gaps=nodes.gaps[order][:, order])
    (plain,), (turned,) = (heads.relate([these], some_memory(1), words(4, 5)) for these in (nodes, moved))
    assert torch.allclose(turned.similarity, plain.similarity[order][:, order], atol=1e-5)


def scored(heads, memory=None, predicates=4, **options):
    """The same nodes under the same weights, with other options that have none."""
    config = replace(heads.config, **options)
    other = RelationHeads(config).eval()
    other.load_state_dict(heads.state_dict())
    with torch.no_grad():
        return other.relate([some_nodes(4, 6, config)], some_memory(1) if memory is None else memory, words(predicates, 5))[0]


def test_contrast_takes_the_likest_names_off(heads):
    plain, told = (scored(heads.relations, contrast=contrast).predicate_logits for contrast in (0.0, 0.3))
    assert torch.allclose(told, plain - 0.3 * likest_mean(plain, words(4, 5)), atol=1e-5)
    assert not torch.allclose(told, plain, atol=1e-2)


def test_pairs_that_do_not_look_see_no_picture(heads):
    seeing, blind = ([scored(heads.relations, some_memory(1, seed), look=look).pair_logits for seed in (9, 10)] for look in (True, False))
    assert torch.equal(*blind)
    assert not torch.allclose(*seeing, atol=1e-3)


def test_what_maps_of_predicates_add_by_hand():
    """The log of the mean attention under subject, object and both; predicates behind the attended ones stay as they are."""
    torch.manual_seed(0)
    heads = RelationHeads(replace(CONFIG.relations, maps=True)).eval()
    before = scored(heads, predicates=6)
    with torch.no_grad():
        heads.trust.copy_(torch.tensor([1.0, 2.0, 3.0]))
    added = scored(heads, predicates=6).predicate_logits - before.predicate_logits
    nodes = some_nodes(4, 6, heads.config)
    for row, (s, o) in zip(added, before.pairs.tolist(), strict=True):
        both = (nodes.area[s] * nodes.looked[s] + nodes.area[o] * nodes.looked[o]) / (nodes.area[s] + nodes.area[o])
        by_hand = nodes.looked[s].log() + 2 * nodes.looked[o].log() + 3 * both.log()
        assert torch.allclose(row[:4], by_hand, atol=1e-4)
        assert torch.equal(row[4:], torch.zeros(2))


def test_adjusted_predicates_have_their_prior_in_the_loss(heads):
    """One relation: cross entropy of its logits and the log prior (Menon et al., 2021)."""
    nodes, prior = some_nodes(4, 6), Imbalance.of("adjust", torch.tensor([60, 20, 8, 2]), 0.5)
    (row,) = heads.relations.relate([nodes], some_memory(1), words(4, 5), [torch.tensor([[0, 1]])])
    terms = relation_losses(
        heads.relations, [nodes], [torch.tensor([[0, 1, 3]])], some_memory(1), words(4, 5), WEIGHTS | {"rel": 1.0}, prior
    )
    by_hand = -(row.predicate_logits[0] + prior.log_prior).log_softmax(0)[3]
    assert torch.isclose(terms["rel"], by_hand, atol=1e-5)
    assert not torch.isclose(by_hand, -row.predicate_logits[0].log_softmax(0)[3], atol=1e-2)


def some_layout(count, seed):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 0.6
    boxes = torch.cat([low, low + 0.05 + 0.3 * torch.rand(count, 2, generator=generator)], dim=1)
    return Nodes(None, None, words(count, seed), boxes, (boxes[:, 2:] - boxes[:, :2]).prod(1) * 0.7)


LAYOUT = replace(CONFIG.relations, nodes="layout", edges=True, facts=DETAILED, dropout=0.3)


def test_without_pixels_labels_and_boxes_do():
    torch.manual_seed(6)
    heads = RelationHeads(LAYOUT)
    images = [some_layout(count, count) for count in (4, 0, 1, 7)]
    triples = [torch.tensor([[0, 1, 2], [2, 0, 1]]), *[torch.zeros(0, 3, dtype=torch.int64)] * 2, torch.tensor([[5, 6, 0]])]
    terms = relation_losses(heads, images, triples, None, words(4, 5))
    assert all(torch.isfinite(value) for value in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in heads.parameters())
    heads.eval()
    with torch.no_grad():
        together = heads.relate(images, None, words(4, 5))
        for nodes, scores in zip(images, together, strict=True):
            (alone,) = heads.relate([nodes], None, words(4, 5))
            assert torch.allclose(alone.predicate_logits, scores.predicate_logits, atol=1e-4), "padding is not looked at"
        order = [2, 0, 3, 1]
        moved = replace(images[0], **{name: getattr(images[0], name)[order] for name in ("label", "boxes", "area")})
        (other,) = heads.relate([moved], None, words(4, 5))
    one, two = by_name(together[0], [0, 1, 2, 3]), by_name(other, order)
    assert all(abs(one[pair] - two[pair]) < 1e-4 for pair in one)


def test_a_batch_without_any_pair_has_a_loss_all_the_same():
    heads = RelationHeads(LAYOUT)
    terms = relation_losses(heads, [some_layout(0, 1), some_layout(1, 2)], [torch.zeros(0, 3, dtype=torch.int64)] * 2, None, words(4, 5))
    sum(terms.values()).backward()


@pytest.mark.parametrize("most", [4, 16, 1000])
def test_where_pairs_are_drawn_their_odds_are_those_among_all(most):
    heads = RelationHeads(replace(LAYOUT, dropout=0.0))
    with torch.no_grad():
        heads.related[-1].weight.zero_()
        heads.related[-1].bias.fill_(math.log(3 / (9 * 8 - 3)))
    triples = [torch.tensor([[0, 1, 2], [2, 0, 1], [5, 6, 0]])]
    relation_losses(heads, [some_layout(9, 1)], triples, None, words(4, 5), most=most)["pair"].backward()
    assert heads.related[-1].bias.grad.abs() < 1e-6, "three of 72 pairs are annotated, however many are drawn"


def test_what_contrast_takes_off_by_hand():
    texts = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), dim=1)
    logits = torch.tensor([[4.0, 2.0, 1.0]])
    assert torch.allclose(likest_mean(logits, texts, 1), torch.tensor([[2.0, 4.0, 2.0]]))
    assert torch.allclose(likest_mean(logits, texts, 9), torch.tensor([[1.5, 2.5, 3.0]]))
    assert torch.equal(likest_mean(logits[:, :1], texts[:1]), torch.zeros(1, 1))


def test_imbalance_by_hand():
    counts = torch.tensor([7, 1, 0])
    prior = torch.tensor([8 / 11, 2 / 11, 1 / 11])
    assert torch.allclose(Imbalance.of("adjust", counts, 0.5).log_prior, 0.5 * prior.log())
    weight = Imbalance.of("reweight", counts, 1.0).weight
    assert torch.allclose(weight, torch.tensor([11 / 8, 11 / 2, 11.0]) / 3)
    assert torch.isclose((weight * prior).sum(), torch.tensor(1.0))
    assert Imbalance.of("none", counts, 1.0) == Imbalance()


def test_a_rare_predicate_weighs_more_where_it_stands_alone(heads):
    """One relation a picture: the loss is its cross entropy times its weight, and the picture's own weights do not cancel."""

    def told(predicate, imbalance):
        torch.manual_seed(7)
        triples = [torch.tensor([[0, 1, predicate]])]
        return relation_losses(heads.relations, [some_nodes(4, 6)], triples, some_memory(1), words(4, 5), WEIGHTS, imbalance)["rel"]

    imbalance = Imbalance.of("reweight", torch.tensor([60, 20, 8, 2]), 0.5)
    for predicate in range(4):
        assert torch.isclose(told(predicate, imbalance), imbalance.weight[predicate] * told(predicate, Imbalance()))


def test_weights_scale_their_terms(heads):
    terms = []
    for weights in (WEIGHTS, {"rel": 2.0, "pair": 0.0, "rqc": 0.6}):
        torch.manual_seed(7)
        terms.append(
            relation_losses(heads.relations, [some_nodes(4, 6)], [torch.tensor([[0, 1, 2]])], some_memory(1), words(4, 5), weights)
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
    used = _fitting(logits, annotated)
    assert used[0, :4, :6].mean() > 0.8
    assert used[0, :4, 7:].sum() == 0
    assert torch.equal(used[1:], annotated[1:])
    assert _fitting(logits[:0], annotated[:0]).shape == (0, 8, 8)
