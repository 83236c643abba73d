"""Nodes, neighbours, graph transformer and pairs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spade.relations.config import DETAILED
from spade.relations.graph_transformer import RelationGraphTransformer, _SetAttention
from spade.relations.mask_geometry import mask_boxes, mask_gaps, node_geometry, pool
from spade.relations.neighbours import SoftNeighbours, Space, neighbour_graph
from spade.relations.nodes import GeometryEncoder
from spade.relations.pair_geometry import pair_geometry
from spade.relations.pair_selection import (
    PairCosine,
    PairSimilarity,
    mean_selected_recall,
    select_pairs,
    selected_recall,
)


def boxes_to_masks(*boxes, size=10):
    masks = torch.zeros(len(boxes), size, size)
    for mask, (y1, x1, y2, x2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return masks


def test_boxes_and_geometry_by_hand():
    masks = boxes_to_masks((2, 1, 6, 9), (0, 0, 0, 0))
    assert torch.allclose(mask_boxes(masks), torch.tensor([[0.1, 0.2, 0.9, 0.6], [0, 0, 0, 0]]))
    geometry = node_geometry(mask_boxes(masks), masks.mean(dim=(1, 2)))[0]
    assert torch.allclose(geometry, torch.tensor([0.5, 0.4, 0.8, 0.4, 0.32**0.5, 1.0]), atol=1e-5)
    faint = torch.zeros(1, 10, 10)
    faint[0, 3, 4] = 0.2
    assert torch.allclose(mask_boxes(faint), torch.tensor([[0.4, 0.3, 0.5, 0.4]])), (
        "a mask below half a cell keeps its place"
    )


def test_pool_is_the_mean_under_the_mask():
    features = torch.stack([torch.arange(100.0).view(10, 10), torch.ones(10, 10)])
    assert torch.allclose(
        pool(features, boxes_to_masks((0, 0, 1, 10), (9, 9, 10, 10))),
        torch.tensor([[4.5, 1.0], [99.0, 1.0]]),
        atol=1e-3,
    )


def test_neighbours_are_near_or_alike():
    boxes = mask_boxes(boxes_to_masks((0, 0, 3, 3), (0, 3, 3, 6), (7, 7, 10, 10)))
    apart = torch.eye(3)
    assert neighbour_graph(Space.of_boxes(boxes), apart).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
    alike = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0.1, 0]])
    graph = neighbour_graph(Space.of_boxes(boxes), alike)
    assert graph[0, 2]
    assert graph[2, 0]
    assert not graph[1, 2]


def test_gaps_between_masks_by_hand():
    masks = boxes_to_masks((0, 0, 10, 20), (10, 0, 20, 20), (13, 0, 20, 4), (0, 0, 0, 0), size=20)
    masks[1, 13:, :4] = 0
    masks = torch.cat([masks, boxes_to_masks((5, 5, 6, 6), size=20) * 0.2])
    gaps = mask_gaps(masks)
    assert torch.equal(gaps, gaps.T)
    assert gaps[0, 1] == gaps[1, 2] == 0, "adjacent"
    assert gaps[0, 2] == 1, "three cells are more than a tenth of twenty"
    assert gaps[3].tolist() == [1] * 5, "a mask without a cell is near nothing"
    assert (gaps[4, 0], gaps[4, 1]) == (0, 1), "one below half a cell keeps its place"
    masks[2, 11, 0] = 1
    assert mask_gaps(masks)[0, 2] == pytest.approx(1 / 20)
    assert mask_gaps(masks[:0]).shape == (0, 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_gaps_between_masks_are_the_least_distance(seed):
    masks = (torch.rand(4, 12, 30, generator=torch.Generator().manual_seed(seed)) > 0.97).float()
    cells = [torch.nonzero(mask) for mask in masks]
    for i, own in enumerate(cells):
        for j, other in enumerate(cells):
            least = (own[:, None] - other[None]).abs().amax(-1).amin().item() if len(own) and len(other) else math.inf
            between = max(least - 1, 0) / 30
            assert mask_gaps(masks)[i, j] == pytest.approx(between if between < 0.1 else 1.0)


def test_what_stands_in_the_box_of_the_grass_need_not_touch_it():
    masks = boxes_to_masks((0, 0, 20, 20), (2, 2, 5, 5), size=20)
    masks[0, :18, :18] = 0  # grass along two edges
    by_boxes = neighbour_graph(Space.of_boxes(mask_boxes(masks)), torch.eye(2))
    by_masks = neighbour_graph(Space.of_masks(mask_gaps(masks), masks.mean(dim=(1, 2))), torch.eye(2))
    assert by_boxes[0, 1]
    assert not by_masks[0, 1]
    soft = SoftNeighbours()
    weights = [
        soft(space, torch.eye(2))[0, 1]
        for space in (Space.of_boxes(mask_boxes(masks)), Space.of_masks(mask_gaps(masks), masks.mean(dim=(1, 2))))
    ]
    assert weights[0] > weights[1] + 0.2


def test_soft_neighbours():
    boxes = mask_boxes(boxes_to_masks((0, 0, 3, 3), (0, 3, 3, 6), (7, 7, 10, 10)))
    soft = SoftNeighbours()
    weight = soft(Space.of_boxes(boxes), torch.eye(3))
    assert torch.allclose(weight, weight.T)
    assert torch.equal(weight.diagonal(), torch.ones(3))
    assert weight[0, 1] > weight[0, 2] + 0.3, "touching boxes are nearer"
    alike = soft(Space.of_boxes(boxes), torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0.1, 0]]))
    assert alike[0, 2] > weight[0, 2] + 0.3
    assert ((weight >= 0) & (weight <= 1)).all()
    weight[0, 2].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in soft.parameters())


def test_soft_neighbours_by_the_formula():
    boxes, vectors = mask_boxes(boxes_to_masks((0, 0, 4, 4), (0, 6, 4, 10))), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    soft = SoftNeighbours()
    nearness = math.exp(-(0.2 / 0.4) / math.exp(-1.5))
    sig = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    expected = 0.5 * sig(8 * nearness - 5) + 0.5 * sig(8 * 0.6 - 5)
    assert abs(soft(Space.of_boxes(boxes), vectors)[0, 1].item() - expected) < 1e-5


@pytest.fixture(scope="module", params=["values", "literal"])
def transformer(request):
    torch.manual_seed(0)
    return RelationGraphTransformer(16, 3, literal=request.param == "literal").eval()


def test_literal_attention_by_hand():
    """Of a node alone with itself the key is its own: q . k / sqrt(d) times v, in one head."""
    torch.manual_seed(0)
    layer = _SetAttention(4, 1, literal=True, edges=0)
    node = torch.randn(1, 1, 4)
    scale = (layer.query(node) * layer.key(node)).sum() / 2
    assert torch.allclose(layer(node, torch.ones(1, 1, 1)), layer.out(scale * layer.value(node)), atol=1e-6)


def test_a_weight_of_one_half_is_half_a_node():
    """Two equal nodes at half a weight each attend as one."""
    torch.manual_seed(0)
    layer = _SetAttention(4, 1, literal=False, edges=0)
    one, other = torch.randn(2, 4)
    twins, single = torch.stack([one, other, other])[None], torch.stack([one, other])[None]
    halves = torch.tensor([[[1.0, 0.5, 0.5]] * 3])
    assert torch.allclose(layer(twins, halves)[0, 0], layer(single, torch.ones(1, 2, 2))[0, 0], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 7), st.integers(0, 4))
def test_equivariant_to_order_and_blind_to_padding(transformer, seed, count, padding):
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(1, count, 16, generator=generator)
    links = torch.rand(count, count, generator=generator) > 0.5
    graph = (links | links.T | torch.eye(count, dtype=torch.bool))[None].float()
    present = torch.ones(1, count, dtype=torch.bool)
    with torch.no_grad():
        plain = transformer(nodes, graph, present)
        order = torch.randperm(count, generator=generator)
        moved = transformer(nodes[:, order], graph[:, order][:, :, order], present)
        wide = torch.randn(1, count + padding, 16, generator=generator)
        wide[:, :count] = nodes
        large = (torch.rand(1, count + padding, count + padding, generator=generator) > 0.5).float()
        large[:, :count, :count] = graph
        real = torch.arange(count + padding)[None] < count
        padded = transformer(wide, large, real)
    assert torch.allclose(plain[:, order], moved, atol=1e-4)
    assert torch.allclose(plain, padded[:, :count], atol=1e-4)
    assert torch.isfinite(padded).all()


def test_neighbours_and_others_are_told_apart(transformer):
    torch.manual_seed(1)
    nodes, present = torch.randn(1, 4, 16), torch.ones(1, 4, dtype=torch.bool)
    everyone = torch.ones(1, 4, 4)
    alone = torch.eye(4)[None]
    with torch.no_grad():
        assert not torch.allclose(transformer(nodes, everyone, present), transformer(nodes, alone, present), atol=1e-2)


def test_gradients_stay_finite_without_any_other_node(transformer):
    nodes = torch.randn(2, 3, 16, requires_grad=True)
    present = torch.tensor([[True, False, False], [False, False, False]])
    transformer(nodes, torch.ones(2, 3, 3), present)[0, 0].sum().backward()
    assert torch.isfinite(nodes.grad).all()


def test_pairs_are_directed_and_never_of_one_segment_with_itself():
    torch.manual_seed(0)
    similarity = PairSimilarity(16)(torch.randn(5, 16))
    assert similarity.abs().max() <= 1 + 1e-5
    assert not torch.allclose(similarity, similarity.T, atol=1e-2)
    pairs = select_pairs(similarity, 7)
    assert pairs.shape == (7, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    values = similarity[pairs[:, 0], pairs[:, 1]]
    assert (values[:-1] >= values[1:]).all()
    assert select_pairs(similarity, 100).shape == (20, 2)
    assert select_pairs(similarity[:1, :1], 5).shape == (0, 2)


def test_recall_of_the_selected_pairs():
    pairs = torch.tensor([[0, 1], [2, 0], [1, 0], [1, 2]])
    told = ((0, 1, 5), (0, 1, 6), (1, 2, 0), (0, 2, 3), (1, 1, 2))  # two predicates are one pair; none with itself
    assert selected_recall(pairs, told, 1) == selected_recall(pairs.numpy(), told, 3) == 1 / 3
    assert selected_recall(pairs, told, 4) == 2 / 3
    assert selected_recall(pairs, ((1, 1, 2),), 4) is None
    assert mean_selected_recall([(pairs, told), (pairs, ((1, 1, 2),)), (pairs[:0], told)], 4) == 1 / 3
    assert mean_selected_recall([(pairs, ())], 4) is None


def test_the_cosine_selector_is_symmetric():
    similarity = PairCosine()(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(similarity, similarity.T)
    assert torch.allclose(similarity.diagonal(), torch.ones(5), atol=1e-5)


def test_pair_geometry_by_hand():
    boxes = mask_boxes(boxes_to_masks((0, 0, 4, 4), (2, 2, 4, 6)))
    pairs, area = torch.tensor([[0, 1], [1, 0]]), torch.tensor([0.16, 0.04])
    got = pair_geometry(boxes, area, pairs)
    assert torch.allclose(got[0, :4], torch.tensor([0.2, 0.1, 0.05**0.5, 4 / 20]), atol=1e-5)
    assert torch.allclose(got[0, 4], torch.tensor(2.0).log() / 4)
    assert torch.allclose(got[0, 5:], torch.tensor([4 / 16, 4 / 8]))
    assert torch.allclose(got[1, :2], -got[0, :2])
    assert torch.allclose(got[1, 4], -got[0, 4])
    more = pair_geometry(boxes, area, pairs, DETAILED)
    assert torch.equal(more[:, :7], got)
    logs = [0.0, math.log(2) / 4]  # as wide, twice as high
    assert torch.allclose(
        more[0, 7:], torch.tensor([*logs, 0.5 / 4, (0.1 / 0.3) / 4, 0.0, 0.2, 0.0, 0.0, 0.4, 0.2]), atol=1e-5
    )
    apart = pair_geometry(torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.5, 0.3, 0.7, 0.4]]), area, pairs, DETAILED)
    assert torch.allclose(apart[0, 13:15], torch.tensor([0.3, 0.1]))
    assert torch.allclose(apart[1, 13:15], apart[0, 13:15])


def test_geometry_is_told_in_waves_too():
    torch.manual_seed(0)
    encoder = GeometryEncoder(2, 8, bands=3)
    facts = torch.rand(5, 4, 2)
    assert encoder(facts).shape == (5, 4, 8)
    waves = torch.stack([facts * torch.pi * 2**k for k in range(3)], dim=-1).flatten(-2)
    assert torch.allclose(encoder(facts), encoder.mlp(torch.cat([facts, waves.sin(), waves.cos()], dim=-1)), atol=1e-6)
