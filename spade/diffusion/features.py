"""Multi-scale features of one UNet pass, and of the autoencoder's finer encoder blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from spade.diffusion.backbone import Backbone

COARSE = 3  # scales that the mask generator's transformer attends to


def feature_strides(backbone: Backbone) -> tuple[int, ...]:
    """Strides in pixels, fine to coarse: the autoencoder's finer blocks, then the UNet's decoder blocks.

    The three coarse ones are the UNet's finest decoder grids; the fine ones go down to a quarter of the image
    (to a half where the latent grid is as small as the tiny model's).
    """
    base = backbone.factor
    finest = 2 if backbone.image_size <= 128 else 4
    fine = [s for s in (2, 4) if finest <= s < base]
    return (*fine, *(base * 2**level for level in range(COARSE)))


def feature_channels(backbone: Backbone) -> tuple[int, ...]:
    """Channels of the features, in the order of ``feature_strides``."""
    vae, unet = backbone.vae.config.block_out_channels, backbone.unet.config.block_out_channels
    channels = []
    for stride in feature_strides(backbone):
        if stride < backbone.factor:
            channels.append(vae[stride.bit_length() - 2])
        else:
            channels.append(unet[(stride // backbone.factor).bit_length() - 1])
    return tuple(channels)


@contextmanager
def _kept(modules: dict[int, Any]) -> Iterator[dict[int, Tensor]]:
    """Keep the outputs of modules by key while the block lasts."""
    store: dict[int, Tensor] = {}

    def keep(key: int) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            store[key] = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)

        return hook

    with ExitStack() as stack:
        for key, module in modules.items():
            handle = module.register_forward_hook(keep(key))
            stack.callback(handle.remove)
        yield store


def _unet_taps(unet: Any, base: int) -> dict[int, Any]:
    """Stride in pixels -> the last module of each decoder block before its upsampler."""
    count = len(unet.up_blocks)
    taps = {}
    for index, block in enumerate(unet.up_blocks):
        stride = base * 2 ** (count - 1 - index)
        taps[stride] = block.attentions[-1] if getattr(block, "has_cross_attention", False) else block.resnets[-1]
    return taps


@torch.no_grad()
def encode_with_features(backbone: Backbone, pixels: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Latents (B, C, h, w) of images (B, 3, H, W) and the autoencoder's finer features by stride."""
    fine = [s for s in feature_strides(backbone) if s < backbone.factor]
    blocks = backbone.vae.encoder.down_blocks
    with _kept({stride: blocks[stride.bit_length() - 2] for stride in fine}) as store:
        latents = backbone.encode_image(pixels)
    return latents, {stride: feature.float() for stride, feature in store.items()}


@torch.no_grad()
def decoder_features(backbone: Backbone, latents: Tensor, context: Tensor, timestep: int) -> dict[int, Tensor]:
    """The UNet's decoder features by stride in pixels: one pass on clean latents (B, C, h, w) at ``timestep``."""
    wanted = [s for s in feature_strides(backbone) if s >= backbone.factor]
    taps = _unet_taps(backbone.unet, backbone.factor)
    with _kept({stride: taps[stride] for stride in wanted}) as store:
        backbone.unet(latents, timestep, encoder_hidden_states=context)
    return {stride: feature.float() for stride, feature in store.items()}


def ordered(features: dict[int, Tensor]) -> Sequence[Tensor]:
    """Features fine to coarse."""
    return [features[stride] for stride in sorted(features)]
