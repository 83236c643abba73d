"""Train the tiny UNet to denoise the autoencoder's latents under captions, with Stable Diffusion's noise schedule."""

from __future__ import annotations

import numpy as np
import torch
from clip import caption
from common import TRAIN_SEED, WATCH_SEED, arguments, pixels, progress, recorded, scenes
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from spade.diffusion.prompts import relation_text
from spade.files import write_json_lines
from spade.training import Optimisation, fit
from spade.world.dataset import WorldSample

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
    print(sum(p.numel() for p in model.parameters()), "parameters")

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
        """The epoch's scenes and latents; made anew each epoch, so that no scene is seen twice."""

        epoch = -1

    def batches(epoch: int) -> list[list[int]]:
        if Pool.epoch != epoch and state_reached(epoch):
            start = epoch * options.samples
            Pool.samples = []
            latents = []
            for i in range(start, start + options.samples, 500):
                made = scenes(TRAIN_SEED + 1, range(i, min(i + 500, start + options.samples)))
                latents.append(encode(made))
                Pool.samples += made
            Pool.latents, Pool.epoch = torch.cat(latents), epoch
        return [list(range(i, i + BATCH)) for i in range(0, options.samples - BATCH + 1, BATCH)]

    started = [False]

    def state_reached(epoch: int) -> bool:
        """The first call only counts batches."""
        first, started[0] = not started[0], True
        return not first

    def losses(indices: list[int]) -> dict[str, torch.Tensor]:
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

    with recorded(options, "unet") as figures:
        curves = fit(
            dict(model.named_parameters()),
            Optimisation(epochs=options.epochs, learning_rate=6e-4, seed=options.seed, warmup_steps=100, ema_decay=0.998),
            batches,
            losses,
            watch,
            "minus_mse",
            options.output / "state" / "unet.safetensors",
            {"samples": options.samples},
            progress("unet"),
        )
        figures |= curves[-1]
    model.half().save_pretrained(backbone / "unet", safe_serialization=True)
    scheduler.save_pretrained(backbone / "scheduler")
    write_json_lines(options.output / "curves" / "unet.jsonl", curves)
    print(curves[-1])


if __name__ == "__main__":
    main()
