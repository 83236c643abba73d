"""What makes a backbone in half precision fast: weights channels-last, and on a CPU attention in blocks that stay in
its cache.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from spade.diffusion.attention import Processor

BLOCK = 1 << 22  # scores at once, 8 MB


def make_fast(module: torch.nn.Module) -> None:
    """Suit a UNet, autoencoder or text encoder to half precision, in place; in float32 nothing is gained, so nothing is
    done.
    """
    first = next(module.parameters())
    if first.dtype == torch.float32:
        return
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if first.device.type == "cpu" and first.dtype == torch.bfloat16 and isinstance(module, UNet2DConditionModel):
        module.set_attn_processor(CpuAttention())


class CpuAttention(Processor):
    """For UNets in bfloat16 on a CPU, twice as fast as torch's own; where gradients flow that one is called."""

    def __init__(self) -> None:
        self._fused = AttnProcessor2_0()

    def __call__(self, attn: Any, hidden_states: Tensor, *rest: Any, **options: Any) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        processor = (
            self._fused if torch.is_grad_enabled() or options.get("attention_mask") is not None else super().__call__
        )
        out: Tensor = processor(attn, hidden_states, *rest, **options)
        return out

    def mix(self, attn: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """In blocks; a mask never comes here."""
        return attend(query, (key * attn.scale).transpose(1, 2), value)


def attend(query: Tensor, keys: Tensor, value: Tensor, block: int = BLOCK) -> Tensor:
    """Softmax of scores over keys, times values: query (G, N, d), scaled keys (G, d, L), value (G, L, d) -> (G, N,
    d).
    """
    groups, length, _ = query.shape
    out = torch.empty_like(query)
    together = max(
        1, min(groups, block // (length * keys.shape[2])) if length * keys.shape[2] <= block else min(groups, 8)
    )
    rows = max(16, min(length, block // (together * keys.shape[2])))
    for g in range(0, groups, together):
        k, v = keys[g : g + together], value[g : g + together]
        for row in range(0, length, rows):
            out[g : g + together, row : row + rows] = (query[g : g + together, row : row + rows] @ k).softmax(-1) @ v
    return out
