"""The world in words, as the web would caption it (relation prompts: spade.diffusion.prompts)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("person", "man", "woman"),
    "car": ("car", "automobile"),
    "bench": ("bench", "seat"),
    "bird": ("bird", "seagull"),
    "dog": ("dog", "puppy"),
    "horse": ("horse", "pony"),
    "sports ball": ("sports ball", "ball"),
    "kite": ("kite",),
    "bicycle": ("bicycle", "bike"),
    "boat": ("boat",),
    "cat": ("cat", "kitten"),
    "umbrella": ("umbrella", "parasol"),
    "cup": ("cup", "mug"),
    "banana": ("banana",),
    "chair": ("chair",),
    "couch": ("couch", "sofa"),
    "dining table": ("dining table", "table"),
    "wall-other-merged": ("wall",),
    "floor-wood": ("wood floor", "floor"),
    "sky-other-merged": ("sky",),
    "mountain-merged": ("mountain", "hill"),
    "sea": ("sea", "ocean"),
    "grass-merged": ("grass", "lawn"),
    "sand": ("sand", "beach"),
    "road": ("road", "street"),
}

Triple = tuple[str, str, str]  # subject label, predicate, object label


def web_caption(triples: Sequence[Triple], labels: Sequence[str], rng: np.random.Generator) -> str:
    """A loose caption: a part of what is there, in any order, with synonyms; now and then only "something"."""

    def noun(label: str) -> str:
        names = SYNONYMS[label]
        return "something" if rng.random() < 0.1 else "a " + names[int(rng.integers(len(names)))]

    start = str(rng.choice(["", "a picture of ", "a photo of "]))
    if not triples or rng.random() < 0.25:
        few = rng.permutation(len(labels))[: int(rng.integers(1, 4))]
        return start + " and ".join(noun(labels[i]) for i in few)
    few = rng.permutation(len(triples))[: int(rng.integers(1, 5))]
    phrases = [f"{noun(triples[i][0])} {triples[i][1]} {noun(triples[i][2])}" for i in few]
    return start + (" and " if rng.random() < 0.5 else ", ").join(phrases)
