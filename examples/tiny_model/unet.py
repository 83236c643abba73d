"""Train the tiny UNet to denoise the autoencoder's latents under captions, with Stable Diffusion's noise schedule."""

from __future__ import annotations

import numpy as np
import torch
from clip import caption
from common import TRAIN_SEED, WATCH_SEED, arguments, pixels, scenes, train_part
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from spade.diffusion.prompts import relation_text
from spade.world.annotation import WorldSample

BATCH = 16


def prompt(sample: WorldSample, rng: np.random.Generator) -> str:
    """Half relation prompts, some web captions, one in ten empty (for guidance)."""
    kind = rng.random()
    if kind < 0.1:
        return ""
    if kind < 0.6:
        return relation_text([sample.triples[i] for i in rng.permutation(len(sample.triples))])
    return caption(sample, rng)


def main() -> None:
    """Train, resume where a killed run stopped, and save in diffusers' format."""
    options = arguments(__doc__ or "", epochs=6, samples=6000)
    torch.manual_seed(options.seed)
    backbone, device = options.output / "backbone", options.device
    vae = AutoencoderKL.from_pretrained(backbone / "vae", torch_dtype=torch.float32).to(device).eval()
    text = CLIPTextModel.from_pretrained(backbone / "text_encoder", dtype=torch.float32).to(device).eval()
    tokenizer = CLIPTokenizer.from_pretrained(backbone / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    model = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=text.config.hidden_size,
        attention_head_dim=4,
        norm_num_groups=32,
    ).to(device)

    def encode(samples: list[WorldSample]) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            parts = [vae.encode(pixels(samples[i : i + 32]).to(device)).latent_dist.mode() for i in range(0, len(samples), 32)]
        return torch.cat(parts).float() * vae.config.scaling_factor

    def context(texts: list[str]) -> torch.Tensor:
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
        with torch.no_grad():
            return text(ids.to(device)).last_hidden_state

    watched_scenes = scenes(WATCH_SEED, range(128))
    watched = encode(watched_scenes)
    watched_context = torch.cat([context([relation_text(s.triples) for s in watched_scenes[i : i + 32]]) for i in range(0, 128, 32)])
    generator = torch.Generator().manual_seed(0)
    watched_noise = torch.randn(watched.shape, generator=generator).to(device)
    watched_t = torch.linspace(0, 999, 128).long().to(device)

    class Pool:
        """The scenes and latents of one epoch, made when the first of them is asked for."""

        epoch, samples, latents = -1, list[WorldSample](), watched

    def fill(epoch: int) -> None:
        made, latents = [], []
        for start in range(0, options.samples, 500):
            numbers = range(epoch * options.samples + start, epoch * options.samples + min(start + 500, options.samples))
            made.append(scenes(TRAIN_SEED + 1, numbers))
            latents.append(encode(made[-1]))
        Pool.epoch, Pool.samples, Pool.latents = epoch, [sample for part in made for sample in part], torch.cat(latents)

    def losses(numbers: list[int]) -> dict[str, torch.Tensor]:
        if (epoch := numbers[0] // options.samples) != Pool.epoch:
            fill(epoch)
        indices = [number - epoch * options.samples for number in numbers]
        words = np.random.default_rng([Pool.epoch, indices[0]])
        latents = Pool.latents[indices]
        hidden = context([prompt(Pool.samples[i], words) for i in indices])
        noise = torch.randn_like(latents)
        t = torch.randint(0, 1000, (len(indices),), device=device)
        with torch.autocast(device, torch.bfloat16):
            predicted = model(scheduler.add_noise(latents, noise, t), t, hidden).sample.float()
        alpha = scheduler.alphas_cumprod.to(device)[t]
        weight = (5 * (1 - alpha) / alpha).clamp(max=1)  # min-SNR with gamma 5 (Hang et al., 2023)
        return {"mse": (weight * (predicted - noise).square().mean(dim=(1, 2, 3))).mean()}

    def watch() -> dict[str, float]:
        error = []
        for i in range(0, 128, 32):
            part = slice(i, i + 32)
            noisy = scheduler.add_noise(watched[part], watched_noise[part], watched_t[part])
            error.append((model(noisy, watched_t[part], watched_context[part]).sample - watched_noise[part]).square().mean())
        return {"minus_mse": -float(torch.stack(error).mean())}

    train_part(options, "unet", model, BATCH, losses, watch, "minus_mse", learning_rate=6e-4, ema_decay=0.998)
    model.half().save_pretrained(backbone / "unet", safe_serialization=True)
    scheduler.save_pretrained(backbone / "scheduler")


if __name__ == "__main__":
    main()
