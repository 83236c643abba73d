"""Train the tiny AutoencoderKL (1/8 of the image's size, 6 channels) on the world."""

from __future__ import annotations

import math

import torch
from common import TRAIN_SEED, VALIDATION_SEED, arguments, pixels, scenes, train_part
from diffusers import AutoencoderKL

BATCH = 8


def main() -> None:
    """Train, resume where a killed run stopped, and save in diffusers' format."""
    options = arguments(__doc__ or "", epochs=15, samples=3000)
    torch.manual_seed(options.seed)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=6,
        norm_num_groups=8,
        sample_size=128,
    ).to(options.device)
    validation = pixels(scenes(VALIDATION_SEED, range(48))).to(options.device)

    def losses(indices: list[int]) -> dict[str, torch.Tensor]:
        images = pixels(scenes(TRAIN_SEED, indices)).to(options.device)
        with torch.autocast(options.device, torch.bfloat16):
            posterior = model.encode(images).latent_dist
            error = model.decode(posterior.sample()).sample.float() - images
        return {"l1": error.abs().mean(), "l2": 2 * error.square().mean(), "kl": 1e-6 * posterior.kl().mean()}

    def validate() -> dict[str, float]:
        restored = torch.cat([model.decode(model.encode(b).latent_dist.mode()).sample for b in validation.split(16)])
        mse = (restored.clamp(-1, 1) - validation).square().mean(dim=(1, 2, 3)) / 4
        return {"psnr": float((-10 * mse.log10()).mean())}

    train_part(options, "autoencoder", model, BATCH, losses, validate, "psnr", learning_rate=2e-3, ema_decay=0.995)
    with torch.no_grad():
        latents = torch.cat([model.encode(batch).latent_dist.mode() for batch in validation.split(16)])
    model.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
    model.half().save_pretrained(options.output / "backbone" / "vae", safe_serialization=True)
    print("scaling factor", model.config.scaling_factor, "latent std", math.sqrt(float(latents.var())))


if __name__ == "__main__":
    main()
