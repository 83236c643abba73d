"""Vectors against text embeddings, and how the two branches are fused."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


def fuse(diffusion: Tensor, clip: Tensor, exponent: float) -> Tensor:
    """SPADE's two branches as one: diffusion^exponent * clip^(1 - exponent), with the total that ``diffusion`` had.
    Both (..., C).
    """
    mixed = diffusion.clamp(min=1e-12) ** exponent * clip.clamp(min=1e-12) ** (1 - exponent)
    return mixed * (diffusion.sum(-1, keepdim=True) / mixed.sum(-1, keepdim=True))


class TextClassifier(nn.Module):
    """Scores by cosine to text embeddings, with a learned scale; optionally a learned "nothing" at the end.

    forward: vectors (..., D), text (C, D_clip) unit rows -> logits (..., C) or (..., C + 1).
    """

    def __init__(self, width: int, clip_dim: int, with_nothing: bool) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, clip_dim))
        self.scale = nn.Parameter(torch.tensor(2.3))  # exp(2.3) is about 10
        self.nothing = nn.Parameter(torch.randn(clip_dim) * 0.02) if with_nothing else None
        self.centre = nn.Parameter(torch.zeros(clip_dim))

    def forward(self, vectors: Tensor, text: Tensor) -> Tensor:
        """Logits. A learned centre is taken off the text rows: embeddings of short phrases share most of their
        direction.
        """
        rows = normalize(text - self.centre, dim=-1)
        if self.nothing is not None:
            rows = torch.cat([rows, normalize(self.nothing, dim=-1)[None]])
        return self.scale.exp().clamp(max=100) * normalize(self.project(vectors), dim=-1) @ rows.T
