from __future__ import annotations

import pytest
import torch

from spade.segmentation.mask_generator import MaskGenerator, decoder_config, mask_loss, match_queries, shrink_masks

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
    assert [tuple(m.shape) for m in out.masks] == [(2, 6, 32, 48)] * 4, "one prediction before the first layer and one after each"
    assert [tuple(q.shape) for q in out.queries] == [(2, 6, 32)] * 4
    assert out.pixels.shape == (2, 32, 32, 48)
    assert out.memory.shape == (2, 2 * 3 + 4 * 6 + 8 * 12, 32)


def test_weights_are_initialised():
    """Without post_init the level embeddings would be uninitialised memory."""
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(MaskGenerator(decoder_config(STRIDES, 6, 32, 3, 4), CHANNELS).state_dict())
    assert made[0].keys() == made[1].keys()
    assert all(torch.isfinite(v).all() and torch.equal(v, made[1][k]) for k, v in made[0].items())


def test_loss_counts_masks_once_and_handles_images_without_any(generator):
    criterion = mask_loss(generator.config)
    labels = [torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64)]
    assert float(criterion.get_num_masks(labels, torch.device("cpu"))) == 2
    assert float(criterion.get_num_masks(labels[1:], torch.device("cpu"))) == 1
    out = generator(features())
    classes = [torch.randn(2, 6, 5, requires_grad=True) for _ in out.masks]
    masks = [torch.zeros(2, 64, 96), torch.zeros(0, 64, 96)]
    masks[0][0, :32], masks[0][1, 32:] = 1, 1
    loss = criterion.weighted(out.masks, classes, masks, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(c.grad is not None for c in classes)
    nothing = criterion.weighted(out.masks, classes, [masks[1]] * 2, [labels[1]] * 2)
    assert torch.isfinite(nothing)


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
