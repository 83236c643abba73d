"""Scenes and given segments that the predictor's tests share."""

from __future__ import annotations

import numpy as np

from spade.structures.vocabulary import Vocabulary
from spade.world.annotation import make_sample


def scene(index, seed=99):
    return make_sample(seed, index)


def given(model, count, side=40, **words):
    """``count`` given segments in stripes of one image."""
    vocabulary = Vocabulary(
        words.get("objects", model.vocabulary.objects), words.get("predicates", model.vocabulary.predicates)
    )
    categories = [n % len(vocabulary.objects) for n in range(count)]
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    return model.relate(model.encode_segments(image, stripes(count, side), categories, vocabulary))


def stripes(count, side):
    """Numbers (side, side) of ``count`` segments of about one size."""
    numbers = np.zeros((side, side), np.int64)
    numbers.flat[:] = np.arange(side * side) * count // (side * side) + 1 if count else 0
    return numbers
