"""What finds more masks on the embedded world: mask generators alone, on the same scenes and steps, two seeds each.

A training gives several rows: its last weights and their moving average, and ways to merge proposals. Scenes are the
closed setting's; what is chosen here is chosen on scenes that no other benchmark uses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common.results import Results, arguments
from spade.core.hub import fingerprint
from spade.data.checks import checked_record
from spade.data.psg import Dataset, Record
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.diffusion.features import feature_channels, feature_strides
from spade.diffusion.student import Student, load_student
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.rows import ranked
from spade.open_vocabulary.clip import load_clip
from spade.relations.config import RelationHeadConfig
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.losses import mask_loss
from spade.segmentation.mask_proposer import MaskProposer
from spade.segmentation.panoptic import PanopticRules, panoptic_map
from spade.structures.regions import MapRegions
from spade.training.config import Schedule
from spade.training.loop import fit
from spade.training.targets import Truth, annotation
from spade.world.annotation import WorldSample, make_sample
from spade.world.dataset import psg_record
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

TRAIN_SEED, CHOICE_SEED = 7_001, 7_002
BATCH = 8


@dataclass(frozen=True)
class Training:
    """A row's training: ``finest``, the finest stride that the decoder attends to; ``mirrored`` and ``enlarged``:
    other views of each scene, from which one is drawn each time; ``width`` of the decoder.
    """

    finest: int = 8
    mirrored: bool = False
    enlarged: bool = False
    width: int = RelationHeadConfig.width


TRAININGS = {
    "64 channels": Training(),
    "attention at strides 4, 8, 16": Training(finest=4),
    "mirrored images, too": Training(mirrored=True),
    "enlarged parts of images, too": Training(enlarged=True),
    "96 channels": Training(width=96),
    "96 channels, mirrored images, too": Training(width=96, mirrored=True),
}
MERGING = {
    "as it was": PanopticRules(mask_confidence=False, suppression=1.0),
    "mask confidence": PanopticRules(mask_confidence=True, suppression=1.0),
    "suppression": PanopticRules(mask_confidence=False, suppression=0.5),
    "both": PanopticRules(mask_confidence=True, suppression=0.5),
    "both, overlap 0.7": PanopticRules(mask_confidence=True, suppression=0.5, min_overlap=0.7),
}


@dataclass(frozen=True)
class View:
    """A scene as the proposer gets it: features fine to coarse (C, H, W) and attention (L, h, w), float16."""

    features: tuple[Tensor, ...]
    attention: Tensor
    truth: Truth


def main() -> None:
    """Train, then judge the last weights and the average, merged in each way."""
    options = arguments(__doc__ or "")
    scenes, epochs, held_out, seeds = (16, 1, 8, (0,)) if options.quick else (1_000, 9, 300, (0, 1))
    parts = (fingerprint(embedded_model() / part)[:12] for part in ("backbone", "adapter"))
    results = Results("masks", options, seeds, " ".join((*parts, f"{scenes} scenes, {epochs} epochs")))
    torch.set_num_threads(1)
    for seed in seeds:
        for name, training in TRAININGS.items():
            first = {"training": name, "seed": seed, "weights": "last", "merging": "as it was"}
            if results.has(first | {"weights": "average", "merging": list(MERGING)[-1]}):
                continue
            for weights, proposer in _trained(training, seed, scenes, epochs):
                judged = _judged(proposer, training, held_out)
                for merging, metrics in judged.items():
                    results.add(first | {"weights": weights, "merging": merging}, metrics)
    results.show(options)


def _trained(training: Training, seed: int, scenes: int, epochs: int) -> Iterator[tuple[str, MaskProposer]]:
    """The proposer with its last weights, then with their moving average."""
    student = _student()
    levels = _levels(training)
    config = MaskProposerConfig(
        strides=feature_strides(student.backbone)[levels],
        channels=feature_channels(student.backbone)[levels],
        clip_dim=student.clip.dim,
        classes=len(THINGS + STUFF),
        width=training.width,
        **TINY.mask_proposer,
    )
    torch.manual_seed(seed)
    proposer = MaskProposer(config)
    criterion, objects = mask_loss(proposer.decoder_config), student.clip.embed_labels(_lists().vocabulary.objects)
    average = {name: value.clone() for name, value in proposer.state_dict().items()}
    steps = 0

    def losses(numbers: list[int]) -> dict[str, Tensor]:
        nonlocal steps
        if steps:
            _move(average, proposer, steps)
        steps += 1
        proposer.train()
        views = [_drawn(training, number) for number in numbers]
        proposals, classes = proposer(_stacked(views, levels), objects, _attention(views))
        truths = [view.truth.to(objects.device) for view in views]
        parts = ([t.masks for t in truths], [t.classes for t in truths], [t.unnamed for t in truths])
        return {"mask": criterion.weighted(proposals.masks, classes, *parts)}

    def batches(epoch: int) -> list[list[int]]:
        order = np.random.default_rng([seed, epoch]).permutation(scenes).tolist()
        return [order[start : start + BATCH] for start in range(0, scenes - BATCH + 1, BATCH)]

    schedule = Schedule(epochs=epochs, learning_rate=1e-3, weight_decay=0.05, validate_every=epochs, seed=seed)
    unwatched = lambda: {"score": 0.0}  # noqa: E731 - the last weights are kept
    fit(
        *(dict(proposer.named_parameters()), schedule, batches, losses, unwatched, "score", None, None),
        *(lambda numbers, done, total: numbers, lambda line: None, True),
    )
    yield "last", proposer
    proposer.load_state_dict(average)
    yield "average", proposer


def _move(average: dict[str, Tensor], proposer: MaskProposer, step: int, decay: float = 0.998) -> None:
    with torch.no_grad():
        for name, value in proposer.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - min(decay, (1 + step) / (10 + step)))


@torch.no_grad()
def _judged(proposer: MaskProposer, training: Training, count: int) -> dict[str, dict[str, float | None]]:
    """Metrics of each way to merge, on scenes of their own."""
    proposer.eval()
    student, dataset = _student(), _lists()
    objects = student.clip.embed_labels(dataset.vocabulary.objects)
    is_thing = torch.tensor([label.is_thing for label in dataset.vocabulary.objects])
    evaluators = {name: Evaluator(dataset, at=(20,)) for name in MERGING}
    for number in range(count):
        sample = make_sample(CHOICE_SEED, number)
        view = _view(sample, 0, Image.fromarray(sample.image), sample.ids)
        proposals, classes = proposer(_stacked([view], _levels(training)), objects, _attention([view]))
        masks, probabilities = proposals.masks[-1][0], classes[-1][0].softmax(-1)
        record = _record(sample, str(number))
        for name, rules in MERGING.items():
            numbers, segments = panoptic_map(masks, probabilities, is_thing, (record.width, record.height), rules)
            scores = np.array([segment.score for segment in segments])
            size = len(segments)
            layers = Layers((numbers.astype(np.uint32),), np.zeros(size, np.int64), np.arange(1, size + 1))
            pairs = np.argwhere(~np.eye(size, dtype=bool))  # a row each, so that images are judged at all
            rows = ranked(pairs, np.ones((len(pairs), len(PREDICATES))), scores)
            categories = np.array([segment.category for segment in segments], np.int64)
            predicted = PredictedImage(str(number), categories, scores, rows, layers, proposals=(masks > 0).numpy())
            evaluators[name].add(record, sample.ids, predicted)
    return {name: _metrics(evaluator) for name, evaluator in evaluators.items()}


def _metrics(evaluator: Evaluator) -> dict[str, float | None]:
    summary = evaluator.summary()
    things = [summary["per_class"][name] for name in THINGS if summary["per_class"][name] is not None]
    hits, missed = (sum(row[count] for row in things) for count in ("TP", "FN"))
    account = summary["account"]
    shares = {
        "pq": summary["PQ"],
        "pq_things": summary["PQ_things"],
        "things_named": hits / max(1, hits + missed),
        "pairs_proposed": account["proposals"],
        "pairs_with_masks": account["masks"],
        "pairs_named": account["names"],
    }
    return {name: None if value is None else round(100 * value, 2) for name, value in shares.items()}


@cache
def _student() -> Student:
    device = torch.device("cpu")
    return load_student(
        load_backbone("tiny", device, torch.float32), load_clip("tiny", device), embedded_model() / "adapter"
    )


@cache
def _lists() -> Dataset:
    """A data set without records, for its lists."""
    here = Path("psg.json")
    return Dataset(here, here.parent, THINGS, STUFF, PREDICATES, (), frozenset(), (), True)


def _record(sample: WorldSample, name: str) -> Record:
    return checked_record(psg_record(sample, name, name), THINGS, STUFF, PREDICATES)[0]


def _levels(training: Training) -> slice:
    """Of all features those that a decoder gets: it attends to the coarsest three."""
    strides = feature_strides(_student().backbone)
    return slice(0, strides.index(training.finest) + 3)


def _drawn(training: Training, number: int) -> View:
    """One of the views of a training scene, drawn by torch's generator, which the loop seeds."""
    kinds = [0, *([1] if training.mirrored else []), *([2, 3] if training.enlarged else [])]
    return _training_view(number, kinds[int(torch.randint(len(kinds), ()))])


@cache
def _training_view(number: int, kind: int) -> View:
    """A scene as it is (0), mirrored (1), or a part of it enlarged (2, 3: two draws)."""
    sample = make_sample(TRAIN_SEED, number)
    image, ids = Image.fromarray(sample.image), sample.ids
    if kind == 1:
        image, ids = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), ids[:, ::-1]
    if kind > 1:
        image, ids = _enlarged(image, ids, np.random.default_rng([TRAIN_SEED, number, kind]))
    return _view(sample, kind, image, ids)


def _enlarged(image: Image.Image, ids: np.ndarray, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """A part of 0.7 to 1 of the image's sides, enlarged to all of it."""
    height, width = ids.shape
    share = rng.uniform(0.7, 1.0)
    wide, high = math.ceil(share * width), math.ceil(share * height)
    left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
    box = (left, top, left + wide, top + high)
    part = Image.fromarray(ids[top : top + high, left : left + wide].astype(np.int32))
    whole = np.asarray(part.resize((width, height), Image.Resampling.NEAREST)).astype(np.uint32)
    return image.resize((width, height), Image.Resampling.BICUBIC, box), whole


@torch.no_grad()
def _view(sample: WorldSample, kind: int, image: Image.Image, ids: np.ndarray) -> View:
    student = _student()
    seen = student.extract(student.encode(image), student.label_context(_lists().vocabulary))
    assert seen.attention is not None
    record = _record(sample, str(kind))
    regions = MapRegions.of_ids(ids, [segment.id for segment in record.segments])
    truth = annotation(record, regions, image.size, void_counts=True)
    truth = replace(truth, masks=truth.masks.bool())
    return View(tuple(level[0].half() for level in seen.features), seen.attention[0].half(), truth)


def _stacked(views: Sequence[View], levels: slice) -> list[Tensor]:
    return [torch.stack(level).float() for level in zip(*(view.features[levels] for view in views), strict=True)]


def _attention(views: Sequence[View]) -> Tensor:
    return torch.stack([view.attention for view in views]).float()


if __name__ == "__main__":
    main()
