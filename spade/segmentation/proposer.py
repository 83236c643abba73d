"""The first half of the heads: features of a picture to mask proposals with scores for any names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from spade.open_vocabulary import TextClassifier
from spade.segmentation.mask_generator import MaskGenerator, Proposals, decoder_config


@dataclass(frozen=True)
class ProposerConfig:
    """Everything that is needed to build it again."""

    strides: tuple[int, ...]  # of the features, fine to coarse, in pixels; finer ones that are offered are left out
    channels: tuple[int, ...]
    clip_dim: int
    classes: int  # of the training vocabulary; only the loss needs it
    width: int = 64
    queries: int = 24
    layers: int = 3  # of the decoder
    attention: bool = True  # whether the UNet's attention to a name adds to its score


class Proposer(nn.Module):
    """Mask generator, and a classifier of its queries against text embeddings.

    Where the UNet looks for a name counts, too: a score that is added, never a channel, since names change at test time.
    """

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder_config = decoder_config(config.strides, config.queries, config.width, config.layers, config.classes)
        self.mask_generator = MaskGenerator(self.decoder_config, config.channels)
        self.classifier = TextClassifier(config.width, config.clip_dim, with_nothing=True)
        self.trust = nn.Parameter(torch.zeros(())) if config.attention else None

    def forward(self, features: Sequence[Tensor], objects: Tensor, attention: Tensor | None = None) -> tuple[Proposals, list[Tensor]]:
        """Proposals and, for each decoder layer, class logits (B, Q, C + 1) against the text rows ``objects`` (C, D_clip).

        features fine to coarse, each (B, C_i, H_i, W_i); attention (B, C or more, h, w), the same names first.
        """
        proposals = self.mask_generator(features[-len(self.config.strides) :])
        classes = [self.classifier(queries, objects) for queries in proposals.queries]
        if self.trust is not None and attention is not None:
            own = attention[:, : len(objects)]
            scores = [self.trust * attention_score(masks.detach(), own) for masks in proposals.masks]
            classes = [logits + pad(score, (0, 1)) for logits, score in zip(classes, scores, strict=True)]
        return proposals, classes


def attention_score(masks: Tensor, attention: Tensor) -> Tensor:
    """How much more a name is looked for under a mask than in the whole picture, as a logarithm: (B, Q, C).

    masks (B, Q, H, W) logits; attention (B, C, h, w), positive.
    """
    return looked_for(masks.float().sigmoid(), attention).log()


def looked_for(masks: Tensor, attention: Tensor) -> Tensor:
    """Mean attention under each mask as a multiple of the whole picture's: (B, Q, C), at least 1e-8.

    masks (B, Q, H, W) in [0, 1]; attention (B, C, h, w), positive.
    """
    cells = interpolate(masks, size=attention.shape[-2:], mode="area").flatten(2)
    inside = cells @ attention.flatten(2).transpose(1, 2) / cells.sum(-1, keepdim=True).clamp(min=1e-6)
    return (inside / attention.mean(dim=(-2, -1))[:, None].clamp(min=1e-8)).clamp(min=1e-8)
