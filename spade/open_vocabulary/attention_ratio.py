"""How much more a name is looked for under a mask than in the whole image."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def attention_score(masks: Tensor, attention: Tensor) -> Tensor:
    """How much more a name is looked for under a mask than in the whole image, as a logarithm: (B, Q, C).

    masks (B, Q, H, W) logits; attention (B, C, h, w), positive.
    """
    return attention_ratio(masks.float().sigmoid(), attention).log()


def attention_ratio(masks: Tensor, attention: Tensor) -> Tensor:
    """Mean attention under each mask as a multiple of the whole image's: (B, Q, C), at least 1e-8.

    masks (B, Q, H, W) in [0, 1]; attention (B, C, h, w), positive.
    """
    cells = interpolate(masks, size=attention.shape[-2:], mode="area").flatten(2)
    inside = cells @ attention.flatten(2).transpose(1, 2) / cells.sum(-1, keepdim=True).clamp(min=1e-6)
    return (inside / attention.mean(dim=(-2, -1))[:, None].clamp(min=1e-8)).clamp(min=1e-8)
