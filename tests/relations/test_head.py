from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spade.models.config import HeadsConfig
from spade.open_vocabulary.text_classifier import TextClassifier
from spade.relations.head import RelationHead
from spade.relations.losses import relation_losses
from spade.relations.nodes import Nodes
from spade.segmentation.losses import mask_loss
from spade.training.joint_losses import stage2_losses
from tests.relations.samples import (
    BOXES,
    CONFIG,
    WEIGHTS,
    by_name,
    features,
    some_attention,
    some_boxes,
    some_memory,
    some_nodes,
    truth,
    words,
)


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
    assert torch.allclose(logits, classifier.scale.exp() * projected @ text.T, atol=1e-5), (
        "before training the centre is 0"
    )
    order = [2, 0, 3, 1]
    assert torch.allclose(classifier(vectors, text[order]), logits[:, order], atol=1e-5)


def test_more_segments_than_queries(heads):
    masks = torch.zeros(9, 64, 64)
    for i, mask in enumerate(masks):
        mask[7 * i : 7 * i + 7] = 1
    truths = [truth(masks, [i % 3 for i in range(9)], [[i, i + 1, 0] for i in range(8)])]
    terms = stage2_losses(
        heads,
        mask_loss(heads.proposer.decoder_config),
        features(1),
        some_attention(1),
        truths,
        words(3, 4),
        words(4, 5),
        WEIGHTS,
    )
    assert all(torch.isfinite(term) for term in terms.values())


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_one_segment_and_two_hundred(heads, count):
    with torch.no_grad():
        _, present = heads.relations.refine([some_nodes(count, 3)])
        (scores,) = heads.relations.relate([some_nodes(count, 3)], some_memory(1), words(4, 5))
    assert present.sum() == count
    assert len(scores.pairs) == min(CONFIG.relations.pairs, max(0, count * (count - 1)))
    assert scores.predicate_logits.shape == (len(scores.pairs), 4)
    assert torch.isfinite(scores.predicate_logits).all()


def test_relations_do_not_depend_on_the_order_of_segments(heads):
    nodes, order = some_nodes(4, 4), [2, 0, 3, 1]
    moved = Nodes(*(getattr(nodes, name)[order] for name in ("query", "pooled", "label", "boxes", "area")))
    with torch.no_grad():
        (plain,), (other,) = (heads.relations.relate([these], some_memory(1), words(4, 5)) for these in (nodes, moved))
    one, two = by_name(plain, [0, 1, 2, 3]), by_name(other, order)
    assert one.keys() == two.keys()
    assert all(abs(one[pair] - two[pair]) < 1e-4 for pair in one)


def test_without_pixels_labels_and_boxes_do():
    torch.manual_seed(6)
    heads = RelationHead(BOXES)
    images = [some_boxes(count, count) for count in (4, 0, 1, 7)]
    triples = [
        torch.tensor([[0, 1, 2], [2, 0, 1]]),
        *[torch.zeros(0, 3, dtype=torch.int64)] * 2,
        torch.tensor([[5, 6, 0]]),
    ]
    terms = relation_losses(heads, images, triples, None, words(4, 5), WEIGHTS)
    assert all(torch.isfinite(value) for value in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in heads.parameters())
    heads.eval()
    with torch.no_grad():
        together = heads.relate(images, None, words(4, 5))
        for nodes, scores in zip(images, together, strict=True):
            (alone,) = heads.relate([nodes], None, words(4, 5))
            assert torch.allclose(alone.predicate_logits, scores.predicate_logits, atol=1e-4), (
                "padding is not looked at"
            )
        order = [2, 0, 3, 1]
        moved = replace(images[0], **{name: getattr(images[0], name)[order] for name in ("label", "boxes", "area")})
        (other,) = heads.relate([moved], None, words(4, 5))
    one, two = by_name(together[0], [0, 1, 2, 3]), by_name(other, order)
    assert all(abs(one[pair] - two[pair]) < 1e-4 for pair in one)
