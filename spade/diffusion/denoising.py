"""Which of several captions a picture is likelier under: the one with which the UNet denoises it best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from spade.diffusion.backbone import Backbone

TIMESTEPS, NOISES = (51, 151, 251, 401), 2  # of the noise that is added, and how often it is drawn


@torch.no_grad()
def denoising_errors(
    backbone: Backbone,
    latents: Tensor,
    captions: Sequence[str],
    box: tuple[float, float, float, float],
    timesteps: Sequence[int] = TIMESTEPS,
    noises: int = NOISES,
    seed: int = 0,
) -> Tensor:
    """Mean squared error of the UNet's noise under each caption, inside a box: (T, C), summed over ``noises`` draws
    that all captions share (after Li et al., 2023, who classify whole images so).

    latents (1, D, h, w) of the clean image; box xyxy in shares of it. Of each timestep the errors of all captions are
    comparable, those of different timesteps are not.
    """
    schedule = DDIMScheduler.from_config(backbone.schedule)
    context, _ = backbone.encode_text(list(captions))
    cells = _cells(box, latents.shape[-1], latents.shape[-2])
    generator = torch.Generator().manual_seed(seed)
    errors = torch.zeros(len(timesteps), len(captions))
    for row, timestep in enumerate(timesteps):
        for _ in range(noises):
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            time = torch.tensor([timestep])
            noisy = schedule.add_noise(latents, noise, time)
            wanted = noise
            if schedule.config.prediction_type == "v_prediction":
                wanted = schedule.get_velocity(latents, noise, time)
            guess = backbone.unet(
                noisy.expand(len(captions), -1, -1, -1), timestep, encoder_hidden_states=context
            ).sample
            errors[row] += (guess - wanted).float().square().mean(1)[:, cells[0], cells[1]].mean((1, 2)).cpu()
    return errors


def caption_scores(errors: Tensor) -> Tensor:
    """Scores (C,) of captions from their errors (T, C): the less the better, each timestep in units of its spread."""
    spread = errors.std(1, keepdim=True).clamp(min=1e-12)
    return -((errors - errors.mean(1, keepdim=True)) / spread).sum(0)


def _cells(box: tuple[float, float, float, float], width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of the latents that a box touches, at least one of each."""
    x1, y1, x2, y2 = box
    left, top = min(int(x1 * width), width - 1), min(int(y1 * height), height - 1)
    return slice(top, max(top + 1, -int(-y2 * height // 1))), slice(left, max(left + 1, -int(-x2 * width // 1)))
