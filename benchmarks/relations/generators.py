"""Mask generators, which are trained once and frozen, and the training of relation heads on what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.calibration.looks import Variant
from benchmarks.relations.encoders import PixelStudent, PlainProposer, raw_student, student
from benchmarks.relations.rows import full
from benchmarks.relations.scenes import Place
from spade.core.files import canonical_hash, sha256_file, write_bytes
from spade.core.weights import load_weights, to_bytes
from spade.diffusion.backbone_files import TINY
from spade.models.build import build_heads
from spade.models.config import HeadsConfig
from spade.relations.head import RelationHead
from spade.segmentation.config import MaskProposerConfig
from spade.training.config import Schedule
from spade.training.loop import Row, fit
from spade.training.relations import RelationTraining
from spade.training.split import TrainingImages

ENCODERS = ("calibrated", "raw", "plain")
# A calibrated generator without the attention score of names, or the autoencoder's finer blocks.
WITHOUT: dict[str, dict[str, Any]] = {"unscored": {"name_attention": False}, "coarse": {"fine": False}}
GENERATORS = tuple((encoder, setting) for setting in ("closed", "ovdr") for encoder in ENCODERS)
BATCH = 8


def new_job(
    place: Place, encoder: str, setting: str, frozen: bool, hidden: frozenset[str] = frozenset()
) -> RelationTraining:
    """A training on one encoder's features; its mask generator is loaded where it is to be frozen. hidden: predicates
    it is not shown.
    """
    base = student(place, Variant()) if encoder in ("calibrated", *WITHOUT) else raw_student()
    seer = PixelStudent(base.backbone, base.clip, None, base.kind) if encoder == "plain" else base
    dataset = replace(place.dataset(setting).for_training(), novel_predicates=hidden).for_training()
    method = full(setting).method
    proposer = MaskProposerConfig(width=method.relations.width, **TINY.mask_proposer, **WITHOUT.get(encoder, {}))
    if encoder == "plain":
        proposer = replace(proposer, name_attention=False)
    # Gaps between masks are there for the rows that need them.
    config = HeadsConfig(proposer, replace(method.relations, nearness="masks"))
    torch.manual_seed(0)
    heads = build_heads(config, base, len(dataset.classes))
    if encoder == "plain":
        heads.proposer = PlainProposer(heads.proposer.config)
    if frozen:
        load_weights(heads.proposer, _weights(place, encoder, setting), "run the benchmark again")
    nothing = {"relation_weight": 0.0, "pair_weight": 0.0, "rqc_weight": 0.0}
    losses = method.losses if frozen else replace(method.losses, **nothing)
    records = dataset.split("train")
    return RelationTraining(
        seer, heads, dataset, records, losses, method.masks, TINY.validate_at, fusion=1.0, frozen=frozen
    )


def names_of(setting: str) -> str:
    """The setting whose mask generators a setting has: ovr differs from closed by predicates alone."""
    return "ovdr" if setting == "ovdr" else "closed"


def _weights(place: Place, encoder: str, setting: str) -> Path:
    """The mask generator's file; ovr shares closed's, since only predicates differ. Another tiny model has others."""
    of = canonical_hash(place.measured())[:8]
    return place.work / "generators" / f"{encoder}-{names_of(setting)}-{of}.safetensors"


def generator_print(place: Place, encoder: str, setting: str) -> str:
    """Which mask generator it is, by its bytes."""
    return sha256_file(_weights(place, encoder, setting))


def train_generator(job: tuple[Place, str, str]) -> None:
    """Masks and names alone, one seed; the epoch with the best PQ on validation scenes stays. Resumes, and is found
    done.
    """
    place, encoder, setting = job
    path = _weights(place, encoder, setting)
    if path.is_file():
        return
    training = new_job(place, encoder, setting, frozen=False)
    learn(
        {name: p for name, p in training.parameters().items() if name.startswith("proposer.")},
        training.images,
        training.losses,
        training.validate,
        place.generator_epochs,
        better="PQ",
        validate_every=3,
        state=(path.with_suffix(".state"), [encoder, setting, place.measured()]),
        learning_rate=1e-3,
    )
    write_bytes(path, to_bytes(training.heads.proposer.state_dict()))
    path.with_suffix(".state").unlink(missing_ok=True)


def learn(
    parameters: Mapping[str, nn.Parameter],
    images: TrainingImages,
    losses: Callable[[Sequence[int]], Mapping[str, Tensor]],
    validate: Callable[[], Row],
    epochs: int,
    seed: int = 0,
    better: str = "score",
    validate_every: int = 3,
    state: tuple[Path, Any] | None = None,
    learning_rate: float = 2e-3,
) -> None:
    """Every training of this benchmark: the same decay and batches, and for relations the same rate.

    state: a file to resume from, and what must agree for that.
    """
    path, signature = state or (None, None)
    options = Schedule(
        epochs=epochs, learning_rate=learning_rate, seed=seed, weight_decay=0.05, validate_every=validate_every
    )
    fit(
        parameters,
        options,
        lambda epoch: images.batches(BATCH, seed, epoch),
        losses,
        validate,
        better,
        path,
        signature,
        lambda steps, done, total: steps,
        lambda line: None,
    )


def once(place: Place, what: Any, heads: RelationHead, train: Callable[[], None]) -> None:
    """Train relation heads, or find them done in the work folder; what: all that they depend on."""
    done = place.work / "heads" / f"{canonical_hash(what)[:16]}.safetensors"
    if done.is_file():
        load_weights(heads, done, "remove it")
        return
    train()
    write_bytes(done, to_bytes(heads.state_dict()))


@lru_cache(maxsize=1)
def frozen_job(place: Place, encoder: str, setting: str) -> RelationTraining:
    """One a process: its caches are what makes many relation heads cheap."""
    job = new_job(place, encoder, setting, frozen=True)
    job.precompute()  # now, while its relation head asks for all that the head of any row needs
    if setting != "closed":
        job.fit_unseen_scorers()
    return job
