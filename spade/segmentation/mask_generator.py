"""Object queries and their masks, from transformers' Mask2Former parts on features of any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerSinePositionEmbedding,
    Mask2FormerTransformerModule,
)


@dataclass(frozen=True)
class Proposals:
    """What the decoder's layers say; the last entry is the final one.

    ``masks`` each (B, Q, h, w) logits on the finest feature grid; ``queries`` each (B, Q, D); ``pixels`` (B, D, h, w)
    the mask features; ``memory`` (B, T, D) the pixel decoder's coarse levels, flattened, and ``positions`` (1, T, D)
    where its cells lie; ``boxes`` each (B, Q, 4) xyxy in shares of the image, where segments are boxes.
    """

    masks: Sequence[Tensor]
    queries: Sequence[Tensor]
    pixels: Tensor
    memory: Tensor
    positions: Tensor
    boxes: Sequence[Tensor] = ()

    def last(self) -> Proposals:
        """The final layer's alone."""
        return Proposals(self.masks[-1:], self.queries[-1:], self.pixels, self.memory, self.positions, self.boxes[-1:])

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(t.numel() * t.element_size() for t in (*self.masks, *self.queries, self.pixels, self.memory))


def decoder_config(strides: Sequence[int], queries: int, width: int, layers: int, classes: int) -> Mask2FormerConfig:
    """A Mask2Former configuration for features of these strides (fine to coarse), without a backbone."""
    return Mask2FormerConfig(
        feature_size=width,
        mask_feature_size=width,
        hidden_dim=width,
        encoder_feedforward_dim=4 * width,
        dim_feedforward=4 * width,
        encoder_layers=max(1, layers // 2),
        decoder_layers=layers + 1,  # transformers builds one fewer
        num_attention_heads=max(1, width // 32),
        dropout=0.0,  # it would double as layer drop
        num_queries=queries,
        feature_strides=list(strides),
        common_stride=min(strides),
        num_labels=classes,
        train_num_points=1024,
        no_object_weight=0.1,
    )


class MaskGenerator(Mask2FormerPreTrainedModel):
    """Pixel decoder and masked-attention decoder (Cheng et al., 2022); class scores are left to text embeddings.

    forward: features fine to coarse, each (B, C_i, H_i, W_i) -> Proposals.
    """

    main_input_name = "features"

    def __init__(self, config: Mask2FormerConfig, channels: Sequence[int]) -> None:
        super().__init__(config)
        self.pixel_decoder = Mask2FormerPixelDecoder(config, list(channels))
        self.decoder = Mask2FormerTransformerModule(config.feature_size, config)
        self.post_init()  # without it the level embeddings are uninitialised memory

    def forward(self, features: Sequence[Tensor]) -> Proposals:
        """Propose masks for a batch."""
        levels = self.pixel_decoder(list(features))
        out = self.decoder(multi_scale_features=levels.multi_scale_features, mask_features=levels.mask_features)
        queries = [hidden.transpose(0, 1) for hidden in out.intermediate_hidden_states]
        memory = torch.cat([level.flatten(2).transpose(1, 2) for level in levels.multi_scale_features], dim=1)
        shapes = tuple((level.shape[-2], level.shape[-1]) for level in levels.multi_scale_features)
        positions = cell_positions(shapes, memory.shape[-1]).to(memory)
        return Proposals(out.masks_queries_logits, queries, levels.mask_features, memory, positions)


@cache
def cell_positions(shapes: tuple[tuple[int, int], ...], width: int) -> Tensor:
    """Mask2Former's sine embeddings of where the cells of levels (h, w) lie: (1, T, width)."""
    sine = Mask2FormerSinePositionEmbedding(width // 2, normalize=True)
    levels = [sine(torch.Size((1, width, *shape)), torch.device("cpu"), torch.float32) for shape in shapes]
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
