from __future__ import annotations

import math

import torch

from spade.open_vocabulary.attention_ratio import attention_score
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.mask_proposer import MaskProposer

CONFIG = MaskProposerConfig(
    strides=(4, 8, 16, 32), channels=(8, 16, 16, 16), clip_dim=12, classes=3, width=32, queries=5
)


def test_attention_score_by_hand():
    """A name that is looked for in the left half only, under a mask of the left half and one of everything."""
    attention = torch.full((1, 2, 2, 4), 0.01)
    attention[0, 0, :, :2] = 0.03
    masks = torch.full((1, 2, 4, 8), -30.0)
    masks[0, 0, :, :4], masks[0, 1] = 30, 30
    score = attention_score(masks, attention)
    expected = torch.tensor([[[math.log(0.03 / 0.02), 0.0], [0.0, 0.0]]])
    assert torch.allclose(score, expected, atol=1e-4)
    assert torch.isfinite(attention_score(torch.full((1, 1, 4, 8), -200.0), attention)).all(), "a mask of nothing"


def test_attention_moves_names_and_not_the_nothing():
    torch.manual_seed(0)
    proposer = MaskProposer(CONFIG)
    features = [torch.randn(1, c, 64 // s, 64 // s) for s, c in zip(CONFIG.strides, CONFIG.channels, strict=True)]
    words, attention = torch.nn.functional.normalize(torch.randn(3, 12), dim=1), torch.rand(1, 3, 4, 4)
    plain = proposer(features, words)[1][-1]
    assert torch.equal(proposer(features, words, attention)[1][-1], plain), "before training it counts for nothing"
    with torch.no_grad():
        proposer.trust.fill_(2.0)
    proposals, classes = proposer(features, words, attention)
    moved = classes[-1] - plain
    assert torch.allclose(moved[..., :3], 2 * attention_score(proposals.masks[-1], attention), atol=1e-5)
    assert (moved[..., 3] == 0).all()
    classes[-1].sum().backward()
    assert proposer.trust.grad is not None
