"""Pair queries look at the image's features."""

from __future__ import annotations

from torch import Tensor, nn


class PairDecoderLayer(nn.Module):
    """Pair queries attend to the image's features, each for itself."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, absent: Tensor | None = None) -> Tensor:
        """Queries (B, R, D), keys and memory (B, T, D), absent (B, T) bool, tokens that are padding -> (B, R, D)."""
        seen = self.attention(self.norm(queries), keys, memory, key_padding_mask=absent, need_weights=False)[0]
        queries = queries + self.dropout(seen)
        out: Tensor = queries + self.dropout(self.mlp(queries))
        return out
