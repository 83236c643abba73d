from __future__ import annotations

import pytest
import torch

from spade.segmentation.losses import mask_loss
from spade.segmentation.mask_generator import MaskGenerator, decoder_config
from spade.segmentation.matching import match_queries, shrink_masks

STRIDES, CHANNELS = (2, 4, 8, 16, 32), (8, 8, 16, 16, 16)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return MaskGenerator(decoder_config(STRIDES, 6, 32, 3, 4), CHANNELS)


def features(batch=2, height=64, width=96):
    torch.manual_seed(1)
    return [torch.randn(batch, c, height // s, width // s) for s, c in zip(STRIDES, CHANNELS, strict=True)]


def test_shapes_and_layers(generator):
    out = generator(features())
    assert [tuple(m.shape) for m in out.masks] == [(2, 6, 32, 48)] * 4, (
        "one prediction before the first layer and one after each"
    )
    assert [tuple(q.shape) for q in out.queries] == [(2, 6, 32)] * 4
    assert out.pixels.shape == (2, 32, 32, 48)
    assert out.memory.shape == (2, 2 * 3 + 4 * 6 + 8 * 12, 32)
    assert out.positions.shape == (1, *out.memory.shape[1:])


def test_weights_are_initialised():
    """Without post_init the level embeddings would be uninitialised memory."""
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(MaskGenerator(decoder_config(STRIDES, 6, 32, 3, 4), CHANNELS).state_dict())
    assert made[0].keys() == made[1].keys()
    assert all(torch.isfinite(v).all() and torch.equal(v, made[1][k]) for k, v in made[0].items())


def halves():
    """Annotation: the upper half is the first class, the lower left the second; the rest is void."""
    masks = torch.zeros(2, 64, 96)
    masks[0, :32], masks[1, 32:, :48] = 1, 1
    return masks


def drawn(*masks):
    """Logits (1, Q, 64, 96) of sure masks."""
    return (torch.stack(masks) * 40 - 20)[None]


def test_loss_of_images_with_and_without_segments(generator):
    criterion = mask_loss(generator.config)
    labels = [torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64)]
    out = generator(features())
    classes = [torch.randn(2, 6, 5, requires_grad=True) for _ in out.masks]
    masks = [halves(), torch.zeros(0, 64, 96)]
    loss = criterion.weighted(out.masks, classes, masks, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(c.grad is not None for c in classes)
    nothing = criterion.weighted(out.masks, classes, [masks[1]] * 2, [labels[1]] * 2)
    assert torch.isfinite(nothing)


def test_the_number_of_masks_is_counted_once(generator):
    """Two masks at even odds everywhere cost as much as one: the sum is divided by their number."""
    criterion, even = mask_loss(generator.config), torch.zeros(1, 6, 64, 96)
    surest = torch.full((1, 6, 5), -50.0)
    surest[..., 0] = 50
    one, two = torch.ones(1, 64, 96), torch.ones(2, 64, 96)
    costs = [criterion.weighted([even], [surest], [m], [torch.zeros(len(m), dtype=torch.int64)]) for m in (one, two)]
    nothing = criterion.weighted([even], [surest], [one[:0]], [torch.zeros(0, dtype=torch.int64)])
    assert nothing == 0, "all of that image is void"
    without_class = [c - 2 * k for c, k in zip(costs, (0.1 * 5 * 100 / 1.5, 0.1 * 4 * 100 / 2.4), strict=True)]
    assert abs(without_class[0] - without_class[1]) < 1e-2


def test_nobody_is_taught_that_void_is_nothing(generator):
    """Three queries: on an annotated half (matched), on void, on the other annotated half but matched to nothing."""
    criterion, annotated = mask_loss(generator.config), halves()
    void, upper, lower = torch.zeros(64, 96), annotated[0], annotated[1]
    void[32:, 48:] = 1
    classes = torch.zeros(1, 4, 5, requires_grad=True)
    loss = criterion.weighted([drawn(upper, lower, void, upper)], [classes], [annotated], [torch.tensor([0, 1])])
    loss.backward()
    moved = classes.grad[0].abs().sum(-1) > 0
    assert moved.tolist() == [True, True, False, True]
    assert classes.grad[0, 3, 4] < 0 or classes.grad[0, 0, 4] < 0, "a second mask on what is annotated is nothing"


def test_void_regions_are_segments_without_a_name():
    """Four queries: both annotated halves, the void quarter badly, nothing. The third learns that mask, and that it is
    something.
    """
    criterion, annotated = mask_loss(decoder_config(STRIDES, 6, 32, 3, 4)), halves()
    void = torch.zeros(1, 64, 96)
    void[0, 32:, 48:] = 1
    part = void[0].clone()
    part[48:] = 0
    masks = drawn(annotated[0], annotated[1], part, torch.zeros(64, 96)).requires_grad_()
    classes = torch.zeros(1, 4, 5, requires_grad=True)
    torch.manual_seed(0)
    criterion.weighted([masks], [classes], [annotated], [torch.tensor([0, 1])], [void]).backward()
    pushed = masks.grad[0, 2]
    assert pushed[48:, 48:].sum() < 0, "the rest of the quarter is to be covered"
    assert masks.grad[0, 3].abs().sum() == 0, "one query a region"
    third = classes.grad[0, 2]
    assert third[4] > 0
    assert torch.allclose(third[:4], third[:1].expand(4)), "no name is better than another"
    # Without an annotated segment at all the void is still learned.
    assert criterion.weighted([masks], [classes], [annotated[:0]], [torch.tensor([], dtype=torch.int64)], [void]) > 0


def test_matching_by_hand():
    masks = torch.full((3, 4, 4), -9.0)
    masks[0, :2], masks[1, 2:], masks[2, :, :2] = 9, 9, 9
    truth = torch.zeros(2, 4, 4)
    truth[0, 2:], truth[1, :2] = 1, 1
    assert match_queries(masks, torch.zeros(3, 5), truth, torch.tensor([0, 1])).tolist() == [1, 0]
    # Two queries with the same mask: the class decides.
    twins, classes = masks[[0, 0]], torch.zeros(2, 5)
    classes[1, 3] = 5
    assert match_queries(twins, classes, truth[1:], torch.tensor([3])).tolist() == [1]
    # More segments than queries: the surplus has none.
    assert sorted(match_queries(masks[:1], torch.zeros(1, 5), truth, torch.tensor([0, 1])).tolist()) == [-1, 0]


def test_shrink_is_the_share_covered():
    masks = torch.zeros(1, 4, 4)
    masks[0, 0, :3] = 1
    assert torch.equal(shrink_masks(masks, (2, 2))[0], torch.tensor([[0.5, 0.25], [0, 0]]))
    assert shrink_masks(torch.zeros(0, 4, 4), (2, 2)).shape == (0, 2, 2)
