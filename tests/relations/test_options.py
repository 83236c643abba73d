from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from spade.models.config import HeadsConfig
from spade.relations.config import DETAILED
from spade.relations.head import RelationHead
from spade.relations.losses import relation_losses
from spade.segmentation.mask_generator import cell_positions
from tests.relations.samples import CONFIG, WEIGHTS, some_memory, some_nodes, words


def test_pairs_know_where_in_the_image_they_look():
    """Cells that change places, each with what is seen there, are another image to pairs that know places, and none
    to others.
    """
    nodes, memory, order = (
        some_nodes(4, 4),
        some_memory(1),
        torch.randperm(20, generator=torch.Generator().manual_seed(3)),
    )
    positions = cell_positions(((2, 2), (4, 4)), 32)
    for told in (True, False):
        torch.manual_seed(0)
        heads = RelationHead(replace(CONFIG.relations, positional_encoding=told)).eval()
        with torch.no_grad():
            (plain,), (mixed,), (moved,) = (
                heads.relate([nodes], memory[:, cells], words(4, 5), positions=positions[:, there])
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
    {"look": False},
    {"fourier_bands": 3},
    {"fourier_bands": 3, "geometry_dim": DETAILED},
    {"positional_encoding": True},
    {"edges": True, "dropout": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[str(option) for option in OPTIONS])
def test_every_option_learns_and_comes_back_from_json(options):
    torch.manual_seed(5)
    config = HeadsConfig(CONFIG.proposer, replace(CONFIG.relations, **options))
    assert HeadsConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    heads = RelationHead(config.relations)
    triples = [torch.tensor([[0, 1, 2], [2, 0, 1]])]
    terms = relation_losses(heads, [some_nodes(4, 6, config.relations)], triples, some_memory(1), words(4, 5), WEIGHTS)
    sum(terms.values()).backward()
    silent = {name for name, p in heads.named_parameters() if p.grad is None}
    assert all(name.startswith("neighbours.") for name in silent), silent
    assert not silent or not config.relations.layers


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=[str(option) for option in ({}, *OPTIONS)])
def test_images_of_a_batch_do_not_touch_each_other(options):
    torch.manual_seed(5)
    heads = RelationHead(replace(CONFIG.relations, **options)).eval()
    with torch.no_grad():
        for p in heads.parameters():
            p += 0.1 * torch.randn_like(p)  # what starts at zero says something, too
        images, memory = [some_nodes(count, count, heads.config) for count in (3, 1, 6, 0)], some_memory(4)
        pairs = [
            torch.tensor(list(permutations(range(len(nodes)), 2)), dtype=torch.int64).reshape(-1, 2) for nodes in images
        ]
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
    heads, nodes, order = RelationHead(config).eval(), some_nodes(5, 5, config), torch.tensor([3, 1, 4, 0, 2])
    moved = replace(
        nodes, **{name: getattr(nodes, name)[order] for name in ("query", "pooled", "label", "boxes", "area")}
    )
    assert nodes.gaps is not None
    moved = replace(moved, gaps=nodes.gaps[order][:, order])
    (plain,), (turned,) = (heads.relate([these], some_memory(1), words(4, 5)) for these in (nodes, moved))
    assert torch.allclose(turned.similarity, plain.similarity[order][:, order], atol=1e-5)


def scored(heads, memory=None, predicates=4, **options):
    """The same nodes under the same weights, with other options that have none."""
    config = replace(heads.config, **options)
    other = RelationHead(config).eval()
    other.load_state_dict(heads.state_dict())
    with torch.no_grad():
        return other.relate(
            [some_nodes(4, 6, config)], some_memory(1) if memory is None else memory, words(predicates, 5)
        )[0]


def test_pairs_that_do_not_look_see_no_image(heads):
    seeing, blind = (
        [scored(heads.relations, some_memory(1, seed), look=look).pair_logits for seed in (9, 10)]
        for look in (True, False)
    )
    assert torch.equal(*blind)
    assert not torch.allclose(*seeing, atol=1e-3)
