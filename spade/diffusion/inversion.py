"""Deterministic DDIM inversion through diffusers' own scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from spade.core.errors import SpadeError
from spade.diffusion.attention import combine, reading


@dataclass(frozen=True)
class MapPlan:
    """How a teacher's maps are read: DDIM ``steps``; the timesteps nearest to ``read_at``; grids of these ``strides``
    in latent cells.

    read: on the way to noise, or while sampling back from it. latents: the image's, inverted; the image's with as
    much noise added instead; or noise alone, which shows nothing of the image.
    """

    steps: int
    read_at: tuple[int, ...]
    strides: tuple[int, ...]
    read: str = "inversion"
    latents: str = "inverted"


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
        config,
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing=spacing if spacing in ("leading", "trailing") else "leading",
    )
    _set_steps(scheduler, steps)
    return scheduler


def sampling_scheduler(config: Any, steps: int) -> DDIMScheduler:
    """The DDIM scheduler whose steps undo ``inverse_scheduler``'s."""
    spacing = config.get("timestep_spacing", "leading")
    scheduler = DDIMScheduler.from_config(
        config,
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing=spacing if spacing in ("leading", "trailing") else "leading",
    )
    _set_steps(scheduler, steps)
    return scheduler


def _set_steps(scheduler: Any, steps: int) -> None:
    """With more than half as many steps as the model has timesteps diffusers' spacing no longer reaches noise, or
    fails.
    """
    most = scheduler.config.num_train_timesteps // 2
    if not 1 <= steps <= most:
        raise SpadeError(f"`steps={steps}`: this model takes 1 to {most} steps.")
    scheduler.set_timesteps(steps)


def nearest_timesteps(available: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The scheduler timestep nearest to each wanted one, ascending, without repeats."""
    return tuple(sorted({min(available, key=lambda t: (abs(t - w), t)) for w in wanted}))


@torch.no_grad()
def invert(
    unet: Any, config: Any, latents: Tensor, context: Tensor, steps: int, read_at: Sequence[int], strides: Sequence[int]
) -> Inversion:
    """Invert clean latents under a context, reading cross-attention at the timesteps nearest to ``read_at``.

    latents (B, C, h, w), context (B, L, D) in the UNet's number format. No pass runs beyond the last timestep that is
    read; with an empty ``read_at`` the inversion goes on to full noise and no map is kept. As DDIM inversion
    prescribes, the UNet gets the timestep it moves to while the latent is still at the previous one (Song et al.,
    2021).
    """
    return _walk(inverse_scheduler(config, steps), unet, latents, context, read_at, strides)


@torch.no_grad()
def sample_back(
    unet: Any,
    config: Any,
    latents: Tensor,
    context: Tensor,
    steps: int,
    read_at: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Inversion:
    """Denoise from the noisiest of ``steps`` DDIM timesteps, without guidance, reading as ``invert`` does.

    No pass runs beyond the last timestep that is read.
    """
    return _walk(sampling_scheduler(config, steps), unet, latents, context, read_at, strides)


@torch.no_grad()
def read_maps(
    unet: Any, config: Any, latents: Tensor, context: Tensor, noise: Tensor, plan: MapPlan
) -> tuple[Tensor, tuple[int, ...]]:
    """Teacher maps (B, L, h', w') under a context, and the timesteps they were read at.

    latents (B, C, h, w) clean; context (B, L, D); noise like ``latents``, used unless the plan's latents are inverted.
    """
    if plan.latents == "inverted" and plan.read == "inversion":
        seen = invert(unet, config, latents, context, plan.steps, plan.read_at, plan.strides)
    elif plan.read == "resampling":
        if plan.latents == "inverted":
            start = invert(unet, config, latents, context, plan.steps, (), ()).latents
        else:
            scheduler = sampling_scheduler(config, plan.steps)
            start = _noisy(scheduler, latents, noise, int(scheduler.timesteps[0]), plan.latents)
        seen = sample_back(unet, config, start, context, plan.steps, plan.read_at, plan.strides)
    else:
        seen = _looks(sampling_scheduler(config, plan.steps), unet, latents, context, noise, plan)
    assert seen.maps is not None, "a plan reads at one timestep or more"
    return seen.maps, seen.timesteps


def _walk(
    scheduler: Any, unet: Any, sample: Tensor, context: Tensor, read_at: Sequence[int], strides: Sequence[int]
) -> Inversion:
    """Follow a scheduler's timesteps, in its direction, to the last one that is read, or to its end.

    The latent is carried in float32 whatever the UNet computes in: fifty steps would gather its rounding.
    """
    sample = sample.float()
    available = [int(t) for t in scheduler.timesteps]
    chosen = nearest_timesteps(available, read_at) if read_at else ()
    last = next((t for t in reversed(available) if t in chosen), None)
    total: Tensor | None = None
    for t in available:
        if t in chosen:
            noise, maps = _read(unet, sample, t, context, strides)
            total = maps if total is None else total + maps
        else:
            noise = unet(sample.to(context.dtype), t, encoder_hidden_states=context).sample
        if t == last:
            break
        sample = scheduler.step(noise.float(), t, sample).prev_sample
    return Inversion(sample, None if total is None else total / len(chosen), chosen)


def _looks(scheduler: Any, unet: Any, latents: Tensor, context: Tensor, noise: Tensor, plan: MapPlan) -> Inversion:
    """One pass a timestep, each on the clean latent with noise, or on noise alone: what is read when nothing is
    inverted.

    As much noise as an inverted latent holds when the UNet is called: that of the step before.
    """
    available = sorted(int(t) for t in scheduler.timesteps)
    chosen = nearest_timesteps(available, plan.read_at)
    sample, total = latents, torch.zeros((), device=latents.device)
    for t in chosen:
        place = available.index(t)
        sample = _noisy(scheduler, latents, noise, available[place - 1] if place else None, plan.latents)
        total = total + _read(unet, sample, t, context, plan.strides)[1]
    return Inversion(sample, total / len(chosen), chosen)


def _noisy(scheduler: Any, latents: Tensor, noise: Tensor, t: int | None, kind: str) -> Tensor:
    """Latents with the noise of timestep ``t``, none for None; or noise alone."""
    if kind == "random":
        return noise
    if t is None:
        return latents
    noised: Tensor = scheduler.add_noise(latents, noise, torch.full((len(latents),), t, device=latents.device))
    return noised


def _read(unet: Any, sample: Tensor, t: int, context: Tensor, strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """One pass: what the UNet predicts, and the maps (B, L, h', w') in float32."""
    with reading(unet, strides) as store:
        predicted = unet(sample.to(context.dtype), t, encoder_hidden_states=context).sample
    return predicted, combine(store, unet, (sample.shape[-2], sample.shape[-1])).float()
