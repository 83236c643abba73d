"""Deterministic DDIM inversion through diffusers' own scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from spade.diffusion.attention import combine, reading


@dataclass(frozen=True)
class Inversion:
    """``latents`` (B, C, h, w) after the last pass; ``maps`` (B, L, h', w'), the mean over the timesteps read."""

    latents: Tensor
    maps: Tensor | None
    timesteps: tuple[int, ...]


def inverse_scheduler(config: Any, steps: int) -> DDIMInverseScheduler:
    """The inversion scheduler for a model's own noise schedule, set to ``steps`` steps.

    Sample clipping and the class defaults would be wrong for latents (they come back silently from some configs).
    """
    spacing = config.get("timestep_spacing", "leading")
    scheduler = DDIMInverseScheduler.from_config(
        config, clip_sample=False, set_alpha_to_one=False, timestep_spacing=spacing if spacing in ("leading", "trailing") else "leading"
    )
    scheduler.set_timesteps(steps)
    return scheduler


def sampling_scheduler(config: Any, steps: int) -> DDIMScheduler:
    """The DDIM scheduler whose steps undo ``inverse_scheduler``'s."""
    spacing = config.get("timestep_spacing", "leading")
    scheduler = DDIMScheduler.from_config(
        config, clip_sample=False, set_alpha_to_one=False, timestep_spacing=spacing if spacing in ("leading", "trailing") else "leading"
    )
    scheduler.set_timesteps(steps)
    return scheduler


def nearest_timesteps(available: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The scheduler timestep nearest to each wanted one, ascending, without repeats."""
    return tuple(sorted({min(available, key=lambda t: (abs(t - w), t)) for w in wanted}))


@torch.no_grad()
def invert(
    unet: Any, config: Any, latents: Tensor, context: Tensor, steps: int, read_at: Sequence[int], strides: Sequence[int]
) -> Inversion:
    """Invert clean latents under a context, reading cross-attention at the timesteps nearest to ``read_at``.

    latents (B, C, h, w), context (B, L, D). No pass runs beyond the last timestep that is read; with an empty
    ``read_at`` the inversion goes on to full noise and no map is kept. As DDIM inversion prescribes, the UNet gets the timestep it
    moves to while the latent is still at the previous one (Song et al., 2021).
    """
    scheduler = inverse_scheduler(config, steps)
    available = [int(t) for t in scheduler.timesteps]
    chosen = nearest_timesteps(available, read_at) if read_at else ()
    total: Tensor | None = None
    sample = latents
    for t in available:
        if t in chosen:
            with reading(unet, strides) as store:
                noise = unet(sample, t, encoder_hidden_states=context).sample
            maps = combine(store, unet, (latents.shape[-2], latents.shape[-1])).float()
            total = maps if total is None else total + maps
        else:
            noise = unet(sample, t, encoder_hidden_states=context).sample
        if chosen and t == chosen[-1]:
            break
        sample = scheduler.step(noise, t, sample).prev_sample
    return Inversion(sample, None if total is None else total / len(chosen), chosen)


@torch.no_grad()
def sample_back(unet: Any, config: Any, latents: Tensor, context: Tensor, steps: int) -> Tensor:
    """Denoise inverted latents with as many DDIM steps, without guidance: (B, C, h, w)."""
    scheduler = sampling_scheduler(config, steps)
    sample = latents
    for t in scheduler.timesteps:
        sample = scheduler.step(unet(sample, t, encoder_hidden_states=context).sample, t, sample).prev_sample
    return sample
