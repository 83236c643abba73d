"""The first half of the heads: features of an image to mask proposals with scores for any names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from spade.open_vocabulary.attention_ratio import attention_score
from spade.open_vocabulary.text_classifier import TextClassifier
from spade.segmentation.boxes import BoxHead
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.mask_generator import MaskGenerator, Proposals, decoder_config


class MaskProposer(nn.Module):
    """Mask generator, and a classifier of its queries against text embeddings; on data of boxes a box head, too.

    Where the UNet looks for a name counts, too: a score that is added, never a channel, since names change at test
    time.
    """

    def __init__(self, config: MaskProposerConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder_config = decoder_config(
            config.strides, config.queries, config.width, config.mask_layers, config.classes
        )
        self.mask_generator = MaskGenerator(self.decoder_config, config.channels)
        self.classifier = TextClassifier(config.width, config.clip_dim, with_nothing=True)
        self.boxes = BoxHead(config.width) if config.boxes else None
        self.trust = nn.Parameter(torch.zeros(())) if config.name_attention else None

    def forward(
        self, features: Sequence[Tensor], objects: Tensor, attention: Tensor | None = None
    ) -> tuple[Proposals, list[Tensor]]:
        """Proposals and, for each decoder layer, class logits (B, Q, C + 1) against the text rows ``objects`` (C,
        D_clip).

        features fine to coarse, each (B, C_i, H_i, W_i); attention (B, C or more, h, w), the same names first.
        """
        proposals = self.mask_generator(features[-len(self.config.strides) :])
        if self.boxes is not None:
            boxes = [self.boxes(*layer) for layer in zip(proposals.queries, proposals.masks, strict=True)]
            proposals = replace(proposals, boxes=boxes)
        classes = [self.classifier(queries, objects) for queries in proposals.queries]
        if self.trust is not None and attention is not None:
            to_objects = attention[:, : len(objects)]
            scores = [self.trust * attention_score(masks.detach(), to_objects) for masks in proposals.masks]
            classes = [logits + pad(score, (0, 1)) for logits, score in zip(classes, scores, strict=True)]
        return proposals, classes
