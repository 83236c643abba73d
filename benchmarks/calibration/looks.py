"""Where a student, or the teacher, looks in held-out scenes under the whole label list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.calibration.pointing import NOVEL, cells_of, images, large, prompts_of
from spade.diffusion.alignment import label_key, pointing_hit
from spade.diffusion.attention import normalise
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import TINY
from spade.diffusion.inversion import MapPlan
from spade.diffusion.student import Student
from spade.diffusion.teacher import read_span_maps
from spade.evaluation.scoring.groups import FAR
from spade.structures.vocabulary import Vocabulary
from spade.training.calibration import Alignment, CalibrationTargets
from spade.world.annotation import WorldSample, make_sample
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

HELD_OUT_SEED = 6_000


@dataclass(frozen=True)
class Variant:
    """A student: what is trained, how tokens are told apart, what latents its teacher saw, and at which timestep."""

    train: str = "lora"
    alignment: str = "vocabulary"
    latents: str | None = "inverted"
    timestep: int = TINY.inversion.read_at[0]

    def setting(self, names: str, reach: str) -> dict[str, Any]:
        """As it stands in the results."""
        return {**vars(self), "names": names, "range": reach}


@dataclass(frozen=True)
class Look:
    """A name in a held-out image, and whether the student's map of it points there.

    ``chance`` is the share of the image; ``other`` whether the map of this name, found in the same way in the next
    image, points there.
    """

    thing: bool
    novel: bool
    far: bool
    hit: float
    inside: float
    chance: float
    other: float


def tiny_backbone() -> Backbone:
    """The packaged one, on the CPU."""
    return load_backbone("tiny", torch.device("cpu"), torch.float32)


@torch.no_grad()
def looks_of(student: Student | None, count: int, variant: Variant) -> Iterator[Look]:
    """Of as many held-out scenes; student None: the teacher itself, which has each image's caption."""
    samples, targets = _held_out(count, variant.timestep)
    vocabulary = Vocabulary.of(THINGS, STUFF, PREDICATES)
    alignment = Alignment(
        variant.alignment, [*vocabulary.names, *(label_key(name, False) for name in vocabulary.predicates)]
    )
    seen: list[torch.Tensor] = []
    if student is not None:
        labels = student.label_context(vocabulary)
        seen = [student.maps([student.encode(Image.fromarray(sample.image))], labels)[0] for sample in samples]

    def maps_of(i: int, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Label -> map of image i, found among ``maps`` by its own targets."""
        where = alignment.positions(maps, targets[i], alignment.everything)
        return {key: normalise(maps[own]).mean(0) for key, own in where.items() if own}

    for i, sample in enumerate(samples):
        after = (i + 1) % len(samples)
        if student is None:
            own, other = ({target.key: target.map for target in targets[n].targets} for n in (i, after))
        else:
            # An assignment by the image's own caption or teacher is an oracle; the next image's maps show what it
            # gives away.
            own, other = maps_of(i, seen[i]), maps_of(i, seen[after])
        yield from _scene_looks(sample, targets[i], own, other)


def _scene_looks(
    sample: WorldSample, wanted: CalibrationTargets, own: dict[str, torch.Tensor], other: dict[str, torch.Tensor]
) -> Iterator[Look]:
    far = _far_segments(sample)
    for target in wanted.targets:
        if not target.segments or not large(sample, target.segments) or target.key not in own:
            continue
        mask = cells_of(sample, target.label, target.map.shape)
        hit, mass, chance = pointing_hit(own[target.key], mask)
        elsewhere = float(pointing_hit(other[target.key], mask)[0]) if target.key in other else 0.0
        reach = any(i in far for i in target.segments)
        yield Look(target.label in THINGS, target.label in NOVEL, reach, float(hit), mass, chance, elsewhere)


def _far_segments(sample: WorldSample) -> set[int]:
    """Segments with at least one annotated relation to something more than a third of the width away, by box
    centres.
    """

    def centre(i: int) -> np.ndarray:
        x1, y1, x2, y2 = sample.segments[i][3]
        return np.array([x1 + x2, y1 + y2]) / 2

    apart = [
        (s, o) for s, o, _ in sample.relations if np.linalg.norm(centre(s) - centre(o)) > FAR * sample.image.shape[1]
    ]
    return {i for pair in apart for i in pair}


@cache
def _held_out(count: int, timestep: int) -> tuple[list[WorldSample], list[CalibrationTargets]]:
    """Held-out scenes, and what the teacher sees of them under their own captions: which names are asked for, the
    oracles' assignment.
    """
    samples = [make_sample(HELD_OUT_SEED, i) for i in range(count)]
    backbone, plan = tiny_backbone(), MapPlan(TINY.inversion.steps, (timestep,), TINY.inversion.grids)
    found = []
    for start in range(0, len(samples), 32):
        part = samples[start : start + 32]
        prompts = [prompts_of(backbone, sample) for sample in part]
        found += [CalibrationTargets.of(own) for own in read_span_maps(backbone, images(part), prompts, plan)[0]]
    return samples, found
