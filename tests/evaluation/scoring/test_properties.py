"""What must hold for any scene (hypothesis): order, perfection, wrong rows, bounds, shards."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.protocols import PROTOCOLS
from spade.evaluation.scoring.rows import ranked
from tests.evaluation.helpers import dataset, predicted, record

P = 3
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


def scene(seed, image_id="1", one_a_pair=False):
    """A random record with its map, and a random prediction without tied scores: pieces of annotated segments, moved
    borders.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    edges = np.sort(rng.choice(np.arange(1, 24), count - 1, replace=False))
    true = np.zeros((6, 24), np.uint32)
    for i, part in enumerate(np.split(np.arange(24), edges)):
        true[:, part] = i + 1
    moved = true.copy()
    moved[rng.random(true.shape) < rng.uniform(0, 0.4)] = rng.integers(1, count + 1)
    moved[:, : rng.integers(0, 4)] = 0
    classes = tuple(rng.integers(0, 2, count).tolist())
    pairs = [(s, o) for s in range(count) for o in range(count)]
    chosen = rng.choice(len(pairs), min(len(pairs), int(rng.integers(1, 6))), replace=False)
    triples = [
        (*pairs[c], int(p))
        for c in chosen
        for p in rng.choice(P, 1 if one_a_pair else rng.integers(1, 3), replace=False)
    ]
    there = sorted(set(moved.ravel().tolist()) - {0})
    rows = int(rng.integers(0, 8))
    scores = rng.permutation(np.arange(1, rows * P + 1)).reshape(rows, P) / (rows * P + 1) if rows else np.zeros((0, P))
    lines = (
        [(int(s), int(o), v.tolist()) for (s, o), v in zip(rng.integers(0, len(there), (rows, 2)), scores, strict=True)]
        if there
        else []
    )
    kept = tuple(classes[i - 1] if rng.random() < 0.9 else int(rng.integers(0, 2)) for i in there)
    strengths = 1 - 0.001 * rng.permutation(len(there))
    truth = record(triples, image_id, ids=true, classes=classes)
    return (
        truth,
        true,
        (predicted(lines, moved, kept, strengths, image_id) if rng.random() < 0.9 else None),
        (lines, moved, kept, strengths),
    )


def summary(protocol, scenes, at=(1, 3, 10)):
    evaluator = Evaluator(dataset([s[0] for s in scenes]), protocol, at=at)
    for truth, true, prediction, _ in scenes:
        evaluator.add(truth, true, prediction)
    return evaluator


def close(a, b, path=""):
    """Two summaries, equal but for the last bits of sums taken in another order."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            if key not in ("ci95",):  # the draws go by the place of an image
                close(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            close(x, y, path)
    else:
        assert a == pytest.approx(b, abs=1e-12), path


seeds = st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True)


@protocols
@settings(max_examples=40, deadline=None)
@given(seeds=seeds, shuffle=st.randoms(use_true_random=False))
def test_order_of_images_rows_and_segments_does_not_matter(protocol, seeds, shuffle):
    scenes = [scene(seed, str(i)) for i, seed in enumerate(seeds)]
    other = []
    for truth, true, prediction, (lines, moved, kept, strengths) in scenes:
        if prediction is not None and len(kept):
            order = list(range(len(kept)))
            shuffle.shuffle(order)
            lines = [(order.index(s), order.index(o), v) for s, o, v in lines]
            shuffle.shuffle(lines)
            base = predicted(lines, moved, kept, strengths)
            # predicted() lists segments by id; here they come in another order, with their rows.
            layers = type(base.layers)(base.layers.maps, base.layers.layer, base.layers.ids[order])
            categories, scores = base.categories[order], base.scores[order]
            pairs = np.array([line[:2] for line in lines], np.int64).reshape(-1, 2)
            values = np.array([line[2] for line in lines]).reshape(-1, P)
            prediction = PredictedImage(truth.image_id, categories, scores, ranked(pairs, values, scores), layers)
        other.append((truth, true, prediction, None))
    shuffle.shuffle(other)
    close(summary(protocol, scenes).summary(), summary(protocol, other).summary())


@protocols
@settings(max_examples=40, deadline=None)
@given(seeds=seeds)
def test_a_perfect_prediction_finds_all(protocol, seeds):
    scenes = []
    for i, seed in enumerate(seeds):
        truth, true, _, _ = scene(seed, str(i), one_a_pair=True)
        lines = [(s, o, np.eye(P)[p] * (1 - 0.01 * n)) for n, (s, o, p) in enumerate(truth.relations)]
        classes = [segment.category for segment in truth.segments]
        scenes.append((truth, true, predicted(lines, true, classes), None))
    metrics = summary(protocol, scenes, at=(20,)).summary()
    for name in ("R@20", "ngR@20", "PR@20", "InstR"):
        assert metrics[name] == 1.0
    assert metrics["PQ"] in (1.0, None)
    assert all(row["R@20"] in (1.0, None) for row in metrics["per_predicate"].values())


@protocols
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), pair=st.tuples(st.integers(0, 9), st.integers(0, 9)), predicate=st.integers(0, P - 1)
)
def test_a_wrong_last_row_never_raises_recall(protocol, seed, pair, predicate):
    truth, true, prediction, (lines, moved, kept, strengths) = scene(seed)
    if prediction is None or not kept:
        return
    row = (pair[0] % len(kept), pair[1] % len(kept), (np.eye(P)[predicate] * 1e-9).tolist())
    alone = summary(protocol, [(truth, true, predicted([row], moved, kept, strengths), None)])
    if alone.metrics()["R@10"]:
        return  # the row is right
    before = summary(protocol, [(truth, true, prediction, None)]).metrics()
    after = summary(protocol, [(truth, true, predicted([*lines, row], moved, kept, strengths), None)]).metrics()
    for k in (1, 3, 10):
        assert (after[f"R@{k}"] or 0) <= (before[f"R@{k}"] or 0) + 1e-12


@protocols
@settings(max_examples=60, deadline=None)
@given(seeds=seeds)
def test_pair_recall_bounds_recall_and_recall_grows(protocol, seeds):
    scenes = [scene(seed, str(i), one_a_pair=True) for i, seed in enumerate(seeds)]
    metrics = summary(protocol, scenes).summary()
    if metrics["images"] == 0:
        return
    for k in (1, 3, 10):
        assert metrics[f"R@{k}"] <= metrics[f"PR@{k}"] + 1e-12
        assert metrics[f"ngR@{k}"] <= metrics[f"PR@{k}"] + 1e-12
    for name in ("R", "ngR", "PR"):
        assert metrics[f"{name}@1"] <= metrics[f"{name}@3"] + 1e-12 <= metrics[f"{name}@10"] + 2e-12 <= 1 + 3e-12


@protocols
@settings(max_examples=30, deadline=None)
@given(seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True), cut=st.integers(0, 6))
def test_shards_merge_to_the_same_digits(protocol, seeds, cut):
    scenes = [scene(seed, str(i)) for i, seed in enumerate(seeds)]
    whole, first, second = summary(protocol, scenes), summary(protocol, scenes[:cut]), summary(protocol, scenes[cut:])
    first.dataset = second.dataset = whole.dataset
    first.merge(pickle.loads(pickle.dumps(second)))  # as it comes back from another process
    assert first.summary() == whole.summary()
    assert first.per_image() == whole.per_image()
