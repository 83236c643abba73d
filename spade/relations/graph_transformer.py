"""The relation graph transformer: long- and local-range context among segments."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from spade.relations.config import CONTEXT


class _SetAttention(nn.Module):
    """Scaled dot-product attention from each node to a weighted set of others; an empty set adds nothing.

    literal: as the authors' figure has it, query and value are the node itself and the one key is the mean of the set,
    so that the set only scales the node.
    """

    def __init__(self, width: int, heads: int, literal: bool, edges: int) -> None:
        super().__init__()
        self.heads, self.literal = heads, literal
        self.edges = nn.Linear(edges, heads) if edges else None
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, nodes: Tensor, weight: Tensor, edges: Tensor | None = None) -> Tensor:
        """Nodes (B, N, D), weight (B, N, N) in [0, 1], 0 where a node is not in another's set, edges (B, N, N, E) ->
        (B, N, D).
        """
        q, k, v = (
            layer(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        some = (weight > 0).any(-1, keepdim=True)
        if self.literal:
            share = weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
            mixed = (q * (share[:, None] @ k)).sum(-1, keepdim=True) / q.shape[-1] ** 0.5 * v
        else:
            # A weight counts as so much of a node; no weight, no attention.
            logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + weight.clamp(min=1e-6).log()[:, None]
            if self.edges is not None and edges is not None:
                logits = logits + self.edges(edges).movedim(-1, 1)
            logits = logits.masked_fill(weight[:, None] <= 0, float("-inf"))
            mixed = torch.nan_to_num(logits.softmax(-1)) @ v  # a row without any entry is NaN: no context, so zero
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2)) * some
        return out


class RelationGraphLayer(nn.Module):
    """Attention over neighbours and, separately, over non-neighbours, both added; graph convolution; MLP; norm (SPADE,
    stage 2).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        parts: Collection[str] = CONTEXT,
        literal: bool = False,
        edges: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.near = _SetAttention(width, heads, literal, edges) if "near" in parts else None
        self.far = _SetAttention(width, heads, literal, edges) if "far" in parts else None
        self.convolution = nn.Linear(width, width) if "convolution" in parts else None
        self.before = nn.LayerNorm(width) if self.near or self.far else nn.Identity()
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, nodes: Tensor, graph: Tensor, present: Tensor, edges: Tensor | None = None) -> Tensor:
        """Nodes (B, N, D), graph (B, N, N) in [0, 1], present (B, N) bool, edges (B, N, N, E) -> (B, N, D)."""
        real = present[:, None, :] & present[:, :, None]
        links = graph * real
        calm = self.before(nodes)
        if self.near is not None:
            nodes = nodes + self.dropout(self.near(calm, links, edges))
        if self.far is not None:
            nodes = nodes + self.dropout(self.far(calm, (1 - graph) * real, edges))
        messages = nodes
        if self.convolution is not None:
            degree = links.sum(-1).clamp(min=1).rsqrt()
            messages = degree[..., None] * links * degree[:, None, :] @ self.convolution(nodes)
        out: Tensor = self.norm(nodes + self.dropout(self.mlp(messages)))
        return out


class RelationGraphTransformer(nn.Module):
    """L layers over a batch of padded graphs; equivariant to the order of nodes, blind to padding. Without layers it
    changes nothing.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int = 4,
        parts: Collection[str] = CONTEXT,
        literal: bool = False,
        edges: int = 0,
        dropout: float = 0.0,
    ) -> None:
        """edges: facts about an ordered pair that attention may weigh; 0 for none."""
        super().__init__()
        self.layers = nn.ModuleList(
            RelationGraphLayer(width, heads, parts, literal, edges, dropout) for _ in range(layers)
        )

    def forward(self, nodes: Tensor, graph: Tensor, present: Tensor, edges: Tensor | None = None) -> Tensor:
        """Nodes (B, N, D), graph (B, N, N) in [0, 1] with each node its own neighbour, present (B, N) bool -> (B, N,
        D).

        edges (B, N, N, E): facts about the pair (row, column).
        """
        for layer in self.layers:
            nodes = layer(nodes, graph, present, edges)
        return nodes
