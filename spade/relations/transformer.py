"""The relation graph transformer: long- and local-range context among segments."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _SetAttention(nn.Module):
    """Scaled dot-product attention from each node to a set of others; an empty set adds nothing."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, nodes: Tensor, allowed: Tensor) -> Tensor:
        """Nodes (B, N, D), allowed (B, N, N) bool -> (B, N, D)."""
        q, k, v = (layer(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        logits = logits.masked_fill(~allowed[:, None], float("-inf"))
        weights = torch.nan_to_num(logits.softmax(-1))  # a row without any allowed entry is NaN: no context, so zero
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        some = allowed.any(-1, keepdim=True)
        out: Tensor = self.out(mixed) * some
        return out


class RelationGraphLayer(nn.Module):
    """Attention over neighbours and, separately, over non-neighbours, both added; graph convolution; MLP; norm (SPADE, stage 2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.near, self.far = _SetAttention(width, heads), _SetAttention(width, heads)
        self.before = nn.LayerNorm(width)
        self.convolution = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, nodes: Tensor, graph: Tensor, present: Tensor) -> Tensor:
        """Nodes (B, N, D), graph (B, N, N) bool, present (B, N) bool -> (B, N, D)."""
        real = present[:, None, :] & present[:, :, None]
        calm = self.before(nodes)
        nodes = nodes + self.near(calm, graph & real) + self.far(calm, ~graph & real)
        links = (graph & real).to(nodes.dtype)
        degree = links.sum(-1).clamp(min=1).rsqrt()
        spread = degree[..., None] * links * degree[:, None, :]
        out: Tensor = self.norm(nodes + self.mlp(spread @ self.convolution(nodes)))
        return out


class RelationGraphTransformer(nn.Module):
    """L layers over a batch of padded graphs; equivariant to the order of nodes, blind to padding."""

    def __init__(self, width: int, layers: int, heads: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RelationGraphLayer(width, heads) for _ in range(layers))

    def forward(self, nodes: Tensor, graph: Tensor, present: Tensor) -> Tensor:
        """Nodes (B, N, D), graph (B, N, N) bool, present (B, N) bool -> (B, N, D)."""
        for layer in self.layers:
            nodes = layer(nodes, graph, present)
        return nodes
