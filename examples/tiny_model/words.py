"""What the scripts know of words: captions of scenes, captions made wrong, and the byte-pair vocabulary that both text
encoders use.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from common import TRAIN_SEED, scenes
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from spade.diffusion.prompts import relation_text
from spade.structures.vocabulary import psg_lists
from spade.world.captions import web_caption
from spade.world.rules import PREDICATES, SYMMETRIC

CONTEXT = 77
Triples = list[tuple[str, str, str]]


def caption(triples: Triples, labels: list[str], rng: np.random.Generator) -> str:
    """A web caption, or one time in two a relation prompt in random order: mostly of all relations, else of some."""
    if not triples or rng.random() < 0.5:
        return web_caption(triples, labels, rng)
    count = len(triples) if rng.random() < 0.6 else int(rng.integers(1, len(triples) + 1))
    return relation_text([triples[i] for i in rng.permutation(len(triples))[:count]])


def altered(triples: Triples, rng: np.random.Generator) -> Triples:
    """The relations with one of them made wrong: its roles swapped, or another predicate (as NegCLIP: Yuksekgonul et
    al., 2023).
    """
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
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(vocab_size=1400, initial_alphabet=alphabet, end_of_word_suffix="</w>", min_frequency=2),
    )
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    symbols = [*alphabet, *(symbol + "</w>" for symbol in alphabet), *(first + second for first, second in merges)]
    symbols = [*dict.fromkeys(symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n", "utf-8")
    made = CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        model_max_length=CONTEXT,
        pad_token="<|endoftext|>",
    )
    made.save_pretrained(folder)
    return made


def main() -> None:
    """Learn the vocabulary and save it for the backbone and for the OpenCLIP model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("tiny-model"), help="folder of the model being built")
    output = parser.parse_args().output
    for folder in ("backbone/tokenizer", "clip"):
        print(len(make_tokenizer(output / folder)), "tokens in", output / folder)


if __name__ == "__main__":
    main()
