"""Train the tiny UNet and its text encoder to denoise the autoencoder's latents under captions, with Stable Diffusion's
noise schedule.

The text encoder is trained with the UNet from the start, as in latent diffusion (Rombach et al., 2022). Under the text
tower of a contrastively trained CLIP the words' maps stayed at chance in trials (docs/results/tiny-model.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import TRAIN_SEED, VALIDATION_SEED, arguments, pixels, scenes, train_part
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from words import CONTEXT, caption

from spade.core.files import write_bytes
from spade.core.weights import to_bytes
from spade.diffusion.prompts import relation_text
from spade.world.annotation import WorldSample

BATCH, WIDTH = 32, 128
Content = tuple[list[tuple[str, str, str]], list[str]]  # the relations and the labels of a scene
POOL = 16_000  # scenes; each is seen several times, with new words and new noise


def prompt(triples: list[tuple[str, str, str]], labels: list[str], rng: np.random.Generator) -> str:
    """Mostly the relation prompt in random order, else a caption; one in ten empty, for guidance."""
    kind = rng.random()
    if kind < 0.1:
        return ""
    if kind < 0.7:
        return relation_text([triples[i] for i in rng.permutation(len(triples))])
    return caption(triples, labels, rng)


class Both(torch.nn.Module):
    """UNet and text encoder, trained as one."""

    def __init__(self, tokenizer: CLIPTokenizer, channels: int) -> None:
        super().__init__()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=4 * WIDTH,
                num_hidden_layers=1,
                num_attention_heads=4,
                max_position_embeddings=CONTEXT,
                hidden_act="gelu",
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        torch.nn.init.normal_(
            self.text.get_input_embeddings().weight
        )  # large, so that a word's state is at first its own
        self.unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(64, 96, 128),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=WIDTH,
            attention_head_dim=4,  # diffusers reads it as the number of heads here
            norm_num_groups=32,
        )


def main() -> None:
    """Train, resume where a killed run stopped, and save in diffusers' format."""
    again = "go on from the weights of an earlier run with a new schedule; take another --seed"
    options = arguments(__doc__ or "", epochs=18, samples=9600, further=again)
    torch.manual_seed(options.seed)
    backbone, device = options.output / "backbone", options.device
    vae = AutoencoderKL.from_pretrained(backbone / "vae", torch_dtype=torch.float32).to(device).eval()
    tokenizer = CLIPTokenizer.from_pretrained(backbone / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    model = Both(tokenizer, vae.config.latent_channels).to(device)
    if options.further:
        model.unet.load_state_dict(
            UNet2DConditionModel.from_pretrained(backbone / "unet", torch_dtype=torch.float32).state_dict()
        )
        model.text.load_state_dict(
            CLIPTextModel.from_pretrained(backbone / "text_encoder", torch_dtype=torch.float32).state_dict()
        )

    def encode(samples: list[WorldSample]) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            parts = [
                vae.encode(pixels(samples[i : i + 32]).to(device)).latent_dist.mode()
                for i in range(0, len(samples), 32)
            ]
        return torch.cat(parts).float() * vae.config.scaling_factor

    def context(texts: list[str]) -> torch.Tensor:
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids
        return model.text(ids.to(device)).last_hidden_state

    validation_scenes = scenes(VALIDATION_SEED, range(256))
    validation = encode(validation_scenes)
    validation_words = [relation_text(sample.triples) for sample in validation_scenes]
    validation_noise = torch.randn(validation.shape, generator=torch.Generator().manual_seed(0)).to(device)
    validation_t = torch.linspace(0, 999, 256).long().to(device)
    words, latents = pool(
        encode, options.output / "state" / "latents.safetensors", str(vae.config.scaling_factor), options.seed
    )
    latents = latents.to(device)

    def losses(numbers: list[int]) -> dict[str, torch.Tensor]:
        epoch, first = divmod(numbers[0], options.samples)
        order = np.random.default_rng([options.seed, numbers[0] // POOL]).permutation(POOL)
        indices = [int(order[number % POOL]) for number in numbers]
        rng = np.random.default_rng([options.seed, epoch, first])
        clean = latents[indices]
        hidden = context([prompt(*words[i], rng) for i in indices])
        noise = torch.randn_like(clean)
        t = torch.randint(0, 1000, (len(indices),), device=device)
        with torch.autocast(device, torch.bfloat16):
            predicted = model.unet(scheduler.add_noise(clean, noise, t), t, hidden).sample.float()
        alpha = scheduler.alphas_cumprod.to(device)[t]
        weight = (5 * (1 - alpha) / alpha).clamp(max=1)  # min-SNR with gamma 5 (Hang et al., 2023)
        return {"mse": (weight * (predicted - noise).square().mean(dim=(1, 2, 3))).mean()}

    def validate() -> dict[str, float]:
        error = []
        for i in range(0, 256, 32):
            part = slice(i, i + 32)
            noisy = scheduler.add_noise(validation[part], validation_noise[part], validation_t[part])
            hidden = context(validation_words[part])
            error.append(
                (model.unet(noisy, validation_t[part], hidden).sample - validation_noise[part]).square().mean()
            )
        return {"minus_mse": -float(torch.stack(error).mean())}

    part, rate = ("unet-further", 7e-4) if options.further else ("unet", 1e-3)
    train_part(options, part, model, BATCH, losses, validate, "minus_mse", learning_rate=rate, ema_decay=0.998)
    model.unet.half().save_pretrained(backbone / "unet", safe_serialization=True)
    model.text.half().save_pretrained(backbone / "text_encoder", safe_serialization=True)
    scheduler.save_pretrained(backbone / "scheduler")


def pool(
    encode: Callable[[list[WorldSample]], torch.Tensor], file: Path, autoencoder: str, seed: int
) -> tuple[list[Content], torch.Tensor]:
    """The relations and labels of a seed's scenes, and their latents (POOL, C, 16, 16), kept in ``file`` for a resumed
    run.
    """
    mark = f"{autoencoder} {seed}"
    words: list[Content] = []
    parts = []
    try:
        with safe_open(file, "pt") as kept:
            found = kept.get_tensor("latents") if (kept.metadata() or {}).get("of") == mark else None
    except (OSError, SafetensorError):
        found = None
    for start in range(0, POOL, 500):
        made = scenes(TRAIN_SEED + 1, range(seed * POOL + start, seed * POOL + start + 500))
        words += [(sample.triples, sample.labels) for sample in made]
        if found is None:
            parts.append(encode(made).cpu())
    if found is None:
        found = torch.cat(parts)
        write_bytes(file, to_bytes({"latents": found}, {"of": mark}))
    return words, found


if __name__ == "__main__":
    main()
