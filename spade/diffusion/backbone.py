"""A Stable-Diffusion-family model as five parts, loaded from the package, a directory or a hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from spade.core.errors import SpadeError
from spade.core.quiet import hushed
from spade.diffusion.backbone_files import resolve_backbone
from spade.diffusion.cpu_attention import make_fast
from spade.structures.vocabulary import Label


class Backbone:
    """A frozen latent diffusion model.

    Frames: images (B, 3, H, W) in [-1, 1]; latents (B, C, H/8, W/8) scaled to about unit variance; text hidden
    states (B, L, D). ``image_size`` is the shorter side the model was made for, ``multiple`` what sides must divide by.
    """

    def __init__(self, name: str, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
        from diffusers.utils import logging as diffusers_logging
        from transformers import CLIPTextModel, CLIPTokenizer
        from transformers.utils import logging as transformers_logging

        self.name, self.folder, self.device, self.dtype = name, folder, device, dtype
        try:
            with hushed(diffusers_logging, transformers_logging):
                vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, use_safetensors=True)
                unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, use_safetensors=True)
                text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype, use_safetensors=True)
                self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer")
                self.schedule: Any = DDIMScheduler.load_config(folder / "scheduler")
            self.vae = vae.to(device)
            self.unet: Any = unet.to(device)
            self.text_encoder: Any = text.to(device)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise SpadeError(
                f"{folder}: this backbone cannot be loaded ({str(error).splitlines()[0][:160]}); fetch or save it "
                "again as safetensors."
            ) from None
        with hushed(diffusers_logging):  # which takes a memory format for a change of the number format
            for part in (self.vae, self.unet, self.text_encoder):
                make_fast(part.requires_grad_(False).eval())
        self.factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_size = int(self.unet.config.sample_size) * self.factor
        self.multiple = self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        self.context_dim = int(self.unet.config.cross_attention_dim)
        self.token_limit = int(self.text_encoder.config.max_position_embeddings)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents, the posterior's mean."""
        latents = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist.mode()
        return latents * self.vae.config.scaling_factor

    def token_count(self, text: str) -> int:
        """Tokens of a text with its begin and end token."""
        return len(self.tokenizer(text, verbose=False).input_ids)  # a text that is too long is split, not a mistake

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], whole: bool = True) -> tuple[Tensor, list[list[tuple[int, int]]]]:
        """Hidden states (B, L, D), padded to the encoder's length, and each token's character offsets. Not ``whole``:
        padded to the longest of the texts; the encoder is causal, so that nothing else changes.
        """
        batch = self.tokenizer(
            list(texts),
            padding="max_length" if whole else "longest",
            truncation=True,
            max_length=self.token_limit,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        hidden = self.text_encoder(batch.input_ids.to(self.device)).last_hidden_state
        return hidden, [[(int(a), int(b)) for a, b in row] for row in batch["offset_mapping"]]

    @torch.no_grad()
    def label_tokens(self, labels: Sequence[Label]) -> Tensor:
        """One context token a label, (C, D): the mean hidden state over the tokens of its names, each read alone."""
        texts = [prompt for label in labels for prompt in label.prompts]
        means: list[Tensor] = []
        for start in range(0, len(texts), 64):
            hidden, offsets = self.encode_text(texts[start : start + 64], whole=False)
            for text, row, spans in zip(texts[start : start + 64], hidden, offsets, strict=True):
                inside = [i for i, (first, last) in enumerate(spans) if last > first]
                if not inside:
                    raise SpadeError(f'the label "{text}" has no word that the text encoder knows; rename it.')
                means.append(row[inside].mean(0))
        counts = [len(label.prompts) for label in labels]
        return torch.stack([torch.stack(part).mean(0) for part in _runs(means, counts)])

    @torch.no_grad()
    def begin_token(self) -> Tensor:
        """The begin token's hidden state, (1, D): the same before every text, and where idle attention goes."""
        return self.encode_text([""])[0][0, :1]


def _runs(values: list[Tensor], counts: list[int]) -> list[list[Tensor]]:
    """Cut a list into runs of the given lengths."""
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]


def load_backbone(name: str, device: torch.device, dtype: torch.dtype) -> Backbone:
    """Load a backbone by name, directory or hub id."""
    return Backbone(name, resolve_backbone(name), device, dtype)
