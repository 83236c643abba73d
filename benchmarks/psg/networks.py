"""Networks of labels and boxes, trained as ``spade train-boxes`` trains them, and their answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.psg.records import PSG, data
from spade.core.files import canonical_hash, sha256_file, write_bytes
from spade.core.weights import load_weights, to_bytes
from spade.data.psg import Dataset, Record
from spade.models.build import build_box_model
from spade.models.load import load_relation_predictor
from spade.relations.boxes import BoxRelationModel, BoxSegments
from spade.steps.config import TrainBoxesConfig
from spade.steps.train_boxes import Method, resolve
from spade.structures.label_index import LabelIndex
from spade.training.boxes import BoxTraining
from spade.training.loop import fit

# What each changes about the command's own model, in the settings of ``--set``.
NETWORKS: dict[str, dict[str, Any]] = {
    # Of the full one's size, blind to other segments.
    "pairwise": {"layers": 1, "context": (), "look": False, "width": 192},
    "rgt-none": {"context": ()},
    "rgt-neighbours": {"context": ("near",)},
    "rgt-others": {"context": ("far",)},
    "rgt-full": {},
}


def method_of(name: str, seed: int, quick: bool) -> Method:
    """The method of a network; of the full one where the name is another's."""
    settings = NETWORKS.get(name, {}) | ({"epochs": 1} if quick else {})
    return resolve(TrainBoxesConfig(seed=seed, settings=settings))


def trained(
    method: Method, seed: int, device: str, dataset: Dataset, training: Sequence[Record], work: Path | None
) -> tuple[BoxRelationModel, BoxTraining]:
    """A network after its training, as the step trains it, and its training data. Found done in ``work``."""
    torch.manual_seed(seed)
    index = LabelIndex.of(dataset.vocabulary.objects)
    model = build_box_model(method.relations, dataset.vocabulary, index, None, method.boxes.label_dropout).to(device)
    job = BoxTraining(model, index, dataset, training, method.losses)
    what = [str(method), seed, dataset.classes, [record.image_id for record in training], sha256_file(PSG)]
    place = None if work is None else work / f"{canonical_hash(what)[:16]}.safetensors"
    if place is not None and place.is_file():
        load_weights(model, place, "remove it")
        return model.eval(), job
    fit(
        dict(model.named_parameters()),
        method.schedule,
        partial(job.batches, method.schedule.batch_size, seed),
        job.losses,
        job.validate,
        "score",
        None if place is None else place.with_suffix(".state"),
        what[:2],
        lambda steps, done, total: steps,
        lambda line: None,
        random_start=True,
    )
    if place is not None:
        write_bytes(place, to_bytes(model.state_dict()))
        place.with_suffix(".state").unlink()
    return model.eval(), job


@torch.no_grad()
def answers(
    model: BoxRelationModel, layouts: Sequence[BoxSegments]
) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
    """Pairs (R, 2), P(pair) (R,) and predicate logits (R, P), one image at a time on the CPU, as ``spade predict``
    asks.
    """
    model.cpu().eval()
    for layout in layouts:
        (result,) = model.relate([layout])
        yield result.pairs.numpy(), result.pair_logits.sigmoid(), result.predicate_logits


def packaged_milliseconds() -> float:
    """What the packaged model needs for an image of dev whose segments are known, in this process with one thread."""
    torch.set_num_threads(1)
    dataset, _, dev = data(False)
    predictor, predicates = load_relation_predictor(device="cpu"), dataset.vocabulary.predicates
    labels = [[dataset.vocabulary.objects[segment.category] for segment in record.segments] for record in dev]
    began = time.perf_counter()
    for record, own in zip(dev, labels, strict=True):
        boxes = torch.tensor([segment.bbox for segment in record.segments], dtype=torch.float32)
        area = torch.tensor([segment.area for segment in record.segments], dtype=torch.float32)
        predictor.scores(
            own, [predictor.index.find(label) for label in own], boxes, area, (record.width, record.height), predicates
        )
    return round(1000 * (time.perf_counter() - began) / len(dev), 2)
