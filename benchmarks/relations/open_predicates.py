"""Predicates that training did not have, between given segments: of ``tiny-open``, and of what does not look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common.baselines import Boosting, Example, Frequency
from benchmarks.relations.base_over_novel import NOVEL_PREDICATES, ODDS, WHOLE, means, rates, shares
from benchmarks.relations.baselines import OPTIONS
from spade.diffusion.denoising import caption_scores, denoising_errors
from spade.diffusion.prompts import relation_text
from spade.models.config import UNSEEN_ODDS
from spade.models.predictor import SceneGraphPredictor
from spade.models.segmented_image import SegmentedImage
from spade.world.annotation import CLASSES, WorldSample, make_sample
from spade.world.dataset import trained
from spade.world.rules import PREDICATES

AMONG = [index for index, name in enumerate(PREDICATES) if name in NOVEL_PREDICATES]
BASELINE_SEED, TRAIN, VALIDATION = (
    9_710,
    3_000,
    300,
)  # scenes that boosting and counting learn from, as training has them
EVIDENCE = CLIP, TEXT, DENOISING = ("OpenCLIP's view", "text alone", "denoising error")


def segmented(model: SceneGraphPredictor, sample: WorldSample) -> SegmentedImage:
    """A scene looked at under all names, with its annotated segments, whose names are given."""
    numbers = sum((n + 1) * (sample.ids == identity) for n, (identity, *_) in enumerate(sample.segments))
    categories = [category for _, category, *_ in sample.segments]
    return model.encode_segments(Image.fromarray(sample.image), np.asarray(numbers), categories, WHOLE)


@torch.no_grad()
def of_model(model: SceneGraphPredictor, samples: Sequence[WorldSample]) -> dict[str, Any]:
    """Of annotated relations, how many get the right predicate of all 23, at each odds of unseen ones."""
    answers: list[list[tuple[bool, bool]]] = [[] for _ in ODDS]
    for sample in samples:
        seen = segmented(model, sample)
        for own, odds in zip(answers, ODDS, strict=True):
            scores = _scores(model, seen, odds)
            own.extend((p in AMONG, int(scores[s, o].argmax()) == p) for s, o, p in sample.relations)
    return rates([shares(own) for own in answers])


def of_baselines(samples: Sequence[WorldSample], quick: bool) -> dict[str, dict[str, float]]:
    """What boosting on labels and boxes, and label pairs counted, get right: they can say base names alone."""
    train, validation = (60, 20) if quick else (TRAIN, VALIDATION)
    scenes = [trained(make_sample(BASELINE_SEED, number), "ovdr") for number in range(train + validation)]
    examples = [_example(scene) for scene in scenes if len(scene.segments) > 1]
    seen, held = examples[:-validation], examples[-validation:]
    scorers = {
        "gradient boosting on labels and boxes": Boosting(seen, held, len(PREDICATES), OPTIONS),
        "frequency of label pairs": Frequency(seen, len(CLASSES), len(PREDICATES)),
    }
    found = {}
    for name, scorer in scorers.items():
        answers = []
        for sample, (pairs, scores) in zip(samples, scorer([_example(sample) for sample in samples]), strict=True):
            rows = dict(zip(map(tuple, pairs.tolist()), scores, strict=True))
            answers += [(p in AMONG, int(rows[s, o].argmax()) == p) for s, o, p in sample.relations]
        found[name] = means(*shares(answers)) | {"area": 0.0}  # no odds give novel names anything
    return found


@torch.no_grad()
def by_evidence(model: SceneGraphPredictor, samples: Sequence[WorldSample], evidence: str) -> dict[str, Any]:
    """Of annotated relations with a novel predicate, how many get the right one among the novel ones; chance is one in
    their number.
    """
    right: list[bool] = []
    for sample in samples:
        asked = [(s, o, p) for s, o, p in sample.relations if p in AMONG]
        if not asked:
            continue
        seen = segmented(model, sample)
        if evidence == DENOISING:
            found = [_denoised(model, seen.latents, sample, s, o) for s, o, _ in asked]
        else:
            scores = _scores(model, seen, UNSEEN_ODDS if evidence == CLIP else 0.0)
            found = [scores[s, o][AMONG] for s, o, _ in asked]
        right += [AMONG[int(np.argmax(row))] == p for row, (_, _, p) in zip(found, asked, strict=True)]
    return {"novel": round(100 * float(np.mean(right)), 2), "relations": len(right), "of": len(AMONG)}


def _scores(model: SceneGraphPredictor, seen: SegmentedImage, odds: float) -> dict[tuple[int, int], np.ndarray]:
    """P(pair) x P(predicate | pair) of each pair."""
    model.unseen_odds = odds
    predicted = model.relate(seen)
    model.unseen_odds = UNSEEN_ODDS
    return dict(zip(map(tuple, predicted.pairs.tolist()), predicted.scores, strict=True))


def _denoised(
    model: SceneGraphPredictor, latents: Tensor, sample: WorldSample, subject: int, target: int
) -> np.ndarray:
    labels, boxes = sample.labels, np.array([sample.segments[i][3] for i in (subject, target)], float)
    height, width = sample.ids.shape
    low, high = boxes[:, :2].min(0) / (width, height), boxes[:, 2:].max(0) / (width, height)
    captions = [relation_text([(labels[subject], PREDICATES[p], labels[target])]) for p in AMONG]
    return caption_scores(denoising_errors(model.student.backbone, latents, captions, (*low, *high))).numpy()


def _example(sample: WorldSample) -> Example:
    """Labels and boxes of a scene; areas are those of boxes, as in the other tables of these baselines."""
    height, width = sample.ids.shape
    boxes = np.array([box for *_, box in sample.segments], np.float32).reshape(-1, 4)
    boxes /= np.array([width, height] * 2, np.float32)
    labels = np.array([category for _, category, *_ in sample.segments], np.int64)
    return Example(labels, boxes, (boxes[:, 2:] - boxes[:, :2]).prod(1), triples=list(sample.relations))
