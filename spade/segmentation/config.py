"""The shape of the mask proposer; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskProposerConfig:
    """Everything that is needed to build it again."""

    strides: tuple[int, ...]  # of the features, fine to coarse, in pixels; finer ones that are offered are left out
    channels: tuple[int, ...]
    clip_dim: int
    classes: int  # of the training vocabulary; only the loss needs it
    width: int = 64
    queries: int = 24
    layers: int = 3  # of the decoder
    attention: bool = True  # whether the UNet's attention to a name adds to its score
