"""Train the tiny OpenCLIP model on the world's captions; its text tower becomes the backbone's text encoder."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import open_clip
import torch
from common import TRAIN_SEED, WATCH_SEED, arguments, pixels, scenes, train_part
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from spade.diffusion.prompts import relation_text
from spade.files import write_json
from spade.vocabulary import psg_lists
from spade.world.annotation import WorldSample
from spade.world.captions import web_caption
from spade.world.rules import PREDICATES, SYMMETRIC

BATCH, WIDTH, LAYERS, HEADS, CONTEXT = 128, 128, 4, 4, 77
Triples = list[tuple[str, str, str]]


def caption(triples: Triples, labels: list[str], rng: np.random.Generator) -> str:
    """A web caption, or one time in two a relation prompt in random order: mostly of all relations, else of some."""
    if not triples or rng.random() < 0.5:
        return web_caption(triples, labels, rng)
    count = len(triples) if rng.random() < 0.6 else int(rng.integers(1, len(triples) + 1))
    return relation_text([triples[i] for i in rng.permutation(len(triples))[:count]])


def altered(triples: Triples, rng: np.random.Generator) -> Triples:
    """The relations with one of them made wrong: its roles swapped, or another predicate (as NegCLIP: Yuksekgonul et al., 2023)."""
    place = int(rng.integers(len(triples)))
    subject, predicate, target = triples[place]
    if rng.random() < 0.5 and predicate not in SYMMETRIC and subject != target:
        wrong = (target, predicate, subject)
    else:
        wrong = (subject, str(rng.choice([other for other in PREDICATES if other != predicate])), target)
    return [wrong if i == place else triple for i, triple in enumerate(triples)]


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """A byte-pair vocabulary learned from captions and the official names; 512 byte symbols are kept."""
    lists, rng = psg_lists(), np.random.default_rng(0)
    corpus = [caption(sample.triples, sample.labels, rng) for sample in scenes(TRAIN_SEED, range(3000))]
    corpus += (lists["plain_names"] + lists["predicate_classes"]) * 3
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=1400, initial_alphabet=alphabet, end_of_word_suffix="</w>", min_frequency=2)
    )
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    symbols = [*alphabet, *(symbol + "</w>" for symbol in alphabet), *(first + second for first, second in merges)]
    symbols = [*dict.fromkeys(symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n", "utf-8")
    made = CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=CONTEXT, pad_token="<|endoftext|>"
    )
    made.save_pretrained(folder)
    return made


def to_text_encoder(model: open_clip.CLIP, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text tower in transformers' form."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=CONTEXT,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    source, target = model.state_dict(), {}
    target["embeddings.token_embedding.weight"] = source["token_embedding.weight"]
    target["embeddings.position_embedding.weight"] = source["positional_embedding"]
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for layer in range(LAYERS):
        old, new = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            for a, b in names.items():
                target[f"{new}{b}.{kind}"] = source[f"{old}{a}.{kind}"]
            for part, name in zip(source[f"{old}attn.in_proj_{kind}"].chunk(3), "qkv", strict=True):
                target[f"{new}self_attn.{name}_proj.{kind}"] = part
    for kind in ("weight", "bias"):
        target[f"final_layer_norm.{kind}"] = source[f"ln_final.{kind}"]
    encoder.load_state_dict(target, strict=True)
    return encoder.eval()


def main() -> None:
    """Train, resume where a killed run stopped, and save both forms."""
    options = arguments(__doc__ or "", epochs=8, samples=6400)
    torch.manual_seed(options.seed)
    folder, backbone = options.output / "clip", options.output / "backbone"
    tokenizer = make_tokenizer(folder)
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
        {"model_cfg": config, "preprocess_cfg": {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "squash"}},
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
        """``encode_text`` on no more tokens than the longest caption has; the tower is causal, so nothing else changes."""
        ids = tokenizer(captions, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids.to(options.device)
        length = ids.shape[1]
        hidden = model.token_embedding(ids) + model.positional_embedding[:length]
        hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
        return normalize(hidden[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection, dim=-1)

    def settle() -> None:
        """Batch statistics of the image tower for the weights as they are, from a fixed part of the training scenes."""
        torch.optim.swa_utils.update_bn(settling, model.visual)
        model.eval()

    settling = pixels(scenes(TRAIN_SEED, range(512))).to(options.device).split(BATCH)
    watched = [pixels(scenes(WATCH_SEED, range(i, i + 64))).to(options.device) for i in range(0, 256, 64)]
    watched_texts = [[relation_text(sample.triples) for sample in scenes(WATCH_SEED, range(i, i + 64))] for i in range(0, 256, 64)]

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
        return {"image": cross_entropy(logits, target) / 2, "text": cross_entropy(logits[:, : len(samples)].T, target) / 2}

    def watch() -> dict[str, float]:
        settle()
        hits = []
        for images, captions in zip(watched, watched_texts, strict=True):
            similarity = model.encode_image(images, normalize=True) @ encode(captions).T
            hits.append((similarity.argmax(1) == torch.arange(len(images), device=similarity.device)).float().mean())
        return {"top1": float(torch.stack(hits).mean())}

    train_part(options, "clip", model, BATCH, losses, watch, "top1", learning_rate=1e-3, weight_decay=0.05, ema_decay=0.99)
    settle()
    encoder = to_text_encoder(model.float(), tokenizer)
    ids = tokenizer(watched_texts[0], padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids
    pooled = encoder(ids).pooler_output @ model.text_projection
    assert torch.allclose(pooled, model.encode_text(ids), atol=1e-4), "the two forms of the text tower differ"
    save_file(
        {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    encoder.half().save_pretrained(backbone / "text_encoder", safe_serialization=True)
    shutil.copytree(folder, backbone / "tokenizer", ignore=shutil.ignore_patterns("open_clip*"), dirs_exist_ok=True)


if __name__ == "__main__":
    main()
