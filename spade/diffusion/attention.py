"""Reading the cross-attention of a diffusers UNet, for exactly as long as a ``with`` block lasts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_KNOWN: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def cross_attention(unet: Any) -> dict[str, Any]:
    """Processor name -> module of every cross-attention layer. Found once a UNet: walking its modules takes longer than
    reading them.
    """
    if unet not in _KNOWN:
        _KNOWN[unet] = {f"{name}.processor": module for name, module in unet.named_modules() if name.endswith(".attn2")}
    return _KNOWN[unet]


def layer_strides(unet: Any) -> dict[str, int]:
    """Processor name -> stride of its grid in latent cells, for every cross-attention layer."""
    levels = len(unet.config.block_out_channels)
    strides = {}
    for name in cross_attention(unet):
        match = re.match(r"(down|up)_blocks\.(\d+)\.", name)
        level = levels - 1 if match is None else int(match[2]) if match[1] == "down" else levels - 1 - int(match[2])
        strides[name] = 2**level
    return strides


class Processor:
    """A diffusers attention processor of a UNet whose middle, the mixing of values, is the subclass's.

    A plain class: a Module would register itself in the UNet.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """(B, N, D), context (B, L, D') -> (B, N, D)."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(z) for z in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        mixed = attn.batch_to_head_dim(self.mix(attn, query, key, value, attention_mask))
        out: Tensor = attn.to_out[1](attn.to_out[0](mixed))
        return out

    def mix(self, attn: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Query (B * heads, N, d), key and value (B * heads, L, d) -> (B * heads, N, d)."""
        raise NotImplementedError


class _Reader(Processor):
    """Keeps the probabilities, averaged over heads: (B, H*W, L).

    It assigns and never accumulates, since gradient checkpointing runs it twice.
    """

    def __init__(self, name: str, store: dict[str, Tensor]) -> None:
        self.name, self.store = name, store

    def mix(self, attn: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Eager, since fused attention keeps no probabilities; softmax and mean in float32 whatever the UNet
        computes in.
        """
        if attn.upcast_attention:
            query, key = query.float(), key.float()
        empty = query.new_empty(query.shape[0], query.shape[1], key.shape[1])
        added, share = (empty, 0) if mask is None else (mask.to(query.dtype), 1)
        scores = torch.baddbmm(added, query, key.transpose(-1, -2), beta=share, alpha=attn.scale)
        weights = scores.float().softmax(-1)
        self.store[self.name] = weights.unflatten(0, (-1, attn.heads)).mean(1)
        return torch.bmm(weights.to(value.dtype), value)


@contextmanager
def reading(unet: Any, strides: Collection[int]) -> Iterator[dict[str, Tensor]]:
    """Keep the cross-attention of the layers whose grid has one of ``strides``, while the block lasts.

    Yields a dict that each UNet pass fills anew: layer name -> (B, H*W, L), rows summing to 1. The UNet's output
    is unchanged and its own processors are put back afterwards.
    """
    store: dict[str, Tensor] = {}
    layers, wanted = cross_attention(unet), layer_strides(unet)
    original = {name: layer.processor for name, layer in layers.items() if wanted[name] in strides}
    for name in original:
        layers[name].processor = _Reader(name, store)
    try:
        yield store
    finally:
        for name, processor in original.items():
            layers[name].processor = processor


def combine(store: dict[str, Tensor], unet: Any, latent_size: tuple[int, int]) -> Tensor:
    """Mean over the layers that were read, on the finest of their grids: (B, L, h, w).

    Coarser grids are enlarged bilinearly. ``latent_size`` is (H, W) in latent cells.
    """
    strides = layer_strides(unet)
    height, width = latent_size
    finest = min(strides[name] for name in store)
    target = (-(-height // finest), -(-width // finest))
    total: Tensor | None = None
    for name, weights in store.items():
        grid = (-(-height // strides[name]), -(-width // strides[name]))
        maps = weights.transpose(1, 2).unflatten(2, grid)
        if grid != target:
            maps = interpolate(maps.float(), size=target, mode="bilinear", align_corners=False).to(maps.dtype)
        total = maps if total is None else total + maps
    assert total is not None, "no layer was read"
    return total / len(store)


def normalise(maps: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale maps (..., h, w) so that each sums to 1 over space."""
    return maps / (maps.sum(dim=(-2, -1), keepdim=True) + eps)
