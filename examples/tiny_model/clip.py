"""Train the tiny OpenCLIP model on the world's captions."""

from __future__ import annotations

import math

import numpy as np
import open_clip
import torch
from common import TRAIN_SEED, VALIDATION_SEED, arguments, pixels, scenes, train_part
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPTokenizer
from words import CONTEXT, altered, caption

from spade.core.files import write_json
from spade.diffusion.prompts import relation_text
from spade.world.annotation import WorldSample

BATCH, WIDTH, LAYERS, HEADS = 128, 128, 4, 4


def main() -> None:
    """Train, resume where a killed run stopped, and save in open_clip's format."""
    options = arguments(__doc__ or "", epochs=24, samples=8192)
    torch.manual_seed(options.seed)
    folder = options.output / "clip"
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    config = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": 128, "layers": [1, 2, 2, 1], "width": 16, "head_width": 16},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": len(tokenizer),
            "width": WIDTH,
            "heads": HEADS,
            "layers": LAYERS,
            "hf_tokenizer_name": "clip",
        },
    }
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    write_json(
        folder / "open_clip_config.json",
        {
            "model_cfg": config,
            "preprocess_cfg": {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "squash"},
        },
    )
    model = open_clip.CLIP(**config).to(options.device)
    print(len(tokenizer), "tokens")

    def texts(samples: list[WorldSample], seed: int) -> tuple[list[str], list[str]]:
        """A caption of each scene, and the same caption of its relations with one made wrong."""
        true, wrong = [], []
        for place, sample in enumerate(samples):
            relations = altered(sample.triples, np.random.default_rng([seed, place, 0]))
            for found, triples in ((true, sample.triples), (wrong, relations)):
                found.append(caption(triples, sample.labels, np.random.default_rng([seed, place, 1])))
        return true, wrong

    def encode(captions: list[str]) -> torch.Tensor:
        """``encode_text`` on no more tokens than the longest caption has; the tower is causal, so nothing else
        changes.
        """
        ids = tokenizer(captions, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids.to(
            options.device
        )
        length = ids.shape[1]
        hidden = model.token_embedding(ids) + model.positional_embedding[:length]
        hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
        return normalize(hidden[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection, dim=-1)

    def precompute() -> None:
        """Batch statistics of the image tower for the weights as they are, from a fixed part of the training scenes."""
        torch.optim.swa_utils.update_bn(settling, model.visual)
        model.eval()

    settling = pixels(scenes(TRAIN_SEED, range(512))).to(options.device).split(BATCH)
    blocks = [scenes(VALIDATION_SEED, range(i, i + 64)) for i in range(0, 256, 64)]
    validation = [
        (pixels(block).to(options.device), [relation_text(sample.triples) for sample in block]) for block in blocks
    ]

    def losses(indices: list[int]) -> dict[str, torch.Tensor]:
        model.train()
        samples = scenes(TRAIN_SEED, indices)
        true, wrong = texts(samples, indices[0])
        with torch.autocast(options.device, torch.bfloat16):
            image = model.encode_image(pixels(samples).to(options.device), normalize=True)
            text = encode(true + wrong)
        logits = model.logit_scale.exp().clamp(max=100) * image.float() @ text.float().T
        target = torch.arange(len(samples), device=logits.device)
        told = torch.tensor([one != other for one, other in zip(true, wrong, strict=True)], device=logits.device)
        logits[:, len(samples) :].masked_fill_(~told, -math.inf)  # wrong where the caption does not tell
        return {
            "image": cross_entropy(logits, target) / 2,
            "text": cross_entropy(logits[:, : len(samples)].T, target) / 2,
        }

    def validate() -> dict[str, float]:
        precompute()
        hits = []
        for images, captions in validation:
            similarity = model.encode_image(images, normalize=True) @ encode(captions).T
            hits.append((similarity.argmax(1) == torch.arange(len(images), device=similarity.device)).float().mean())
        return {"top1": float(torch.stack(hits).mean())}

    train_part(
        options, "clip", model, BATCH, losses, validate, "top1", learning_rate=1e-3, weight_decay=0.05, ema_decay=0.99
    )
    precompute()
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(half, folder / "open_clip_model.safetensors")


if __name__ == "__main__":
    main()
