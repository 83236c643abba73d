"""What replaces the caption at test time: CLIP's view of the image as a few context tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImageAdapter(nn.Module):
    """An MLP from a CLIP image embedding to context tokens (SPADE, stage 1).

    forward: (B, D_clip) -> (B, K, D_context).
    """

    def __init__(self, clip_dim: int, context_dim: int, tokens: int = 4) -> None:
        super().__init__()
        self.tokens = tokens
        self.layers = nn.Sequential(
            nn.Linear(clip_dim, 2 * context_dim),
            nn.GELU(),
            nn.Linear(2 * context_dim, tokens * context_dim),
            nn.Unflatten(1, (tokens, context_dim)),
        )
        self.norm = nn.LayerNorm(context_dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """Context tokens of a batch of image embeddings."""
        out: Tensor = self.norm(self.layers(embedding))
        return out


def student_context(begin: Tensor, labels: Tensor, image_tokens: Tensor) -> Tensor:
    """The student's context (B, 1 + C + K, D): begin token, one token a label, the image adapter's tokens.

    begin (1, D), labels (C, D) of the whole list in use, image_tokens (B, K, D). Label c sits at position 1 + c.
    """
    batch = image_tokens.shape[0]
    fixed = torch.cat([begin, labels]).to(image_tokens.dtype)
    return torch.cat([fixed.expand(batch, -1, -1), image_tokens], dim=1)
