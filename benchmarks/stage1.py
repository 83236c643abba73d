"""Stage 1 on the embedded world: where students look without a caption, by how they were calibrated.

Every student learns from the same scenes of the ovdr setting (base names only), from scratch, for the same number of
epochs, with the best of three learning rates (each student's own, chosen on watched scenes with the first seed).
Held-out scenes are seen once a student, under the whole label list, novel names included. Artifacts are kept in
``--work``, so a rerun goes on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from common import Results, spread
from PIL import Image
from pointing import NOVEL, cells_of, images, large, prompts_of

from spade.core.files import canonical_hash
from spade.core.hub import fingerprint
from spade.core.workspace import Workspace
from spade.diffusion.alignment import label_key, pointing_hit
from spade.diffusion.attention import normalise
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.diffusion.config import CalibrateConfig, InvertConfig
from spade.diffusion.inversion import MapPlan
from spade.diffusion.student import Kind, Student, load_student
from spade.diffusion.teacher import ImageMaps, look
from spade.diffusion.teacher_maps import KeptMaps
from spade.evaluation.scoring.groups import FAR
from spade.open_vocabulary.clip import load_clip
from spade.steps import calibrate, invert, world
from spade.steps.common import Run
from spade.structures.vocabulary import Vocabulary
from spade.training.calibration import Alignment, TeacherMaps
from spade.world.annotation import WorldSample, make_sample
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

TRAIN_SEED, HELD_OUT_SEED = 5_000, 6_000
SEEDS = (0, 1, 2)
RATES = {"lora": (1e-3, 3e-3, 1e-2), "adapter": (1e-3, 3e-3, 1e-2), "full": (1e-4, 3e-4, 1e-3)}
EARLY = 101  # the other timestep, where little noise lies over the image
PARTS = [(names, reach) for names in ("all", "base", "novel") for reach in ("all", "near", "far")]


@dataclass(frozen=True)
class Size:
    """How much is done."""

    scenes: int = 1500
    held_out: int = 320
    epochs: int = 3
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class Variant:
    """A student: what is trained, how tokens are told apart, what latents its teacher saw, and at which timestep."""

    train: str = "lora"
    alignment: str = "vocabulary"
    latents: str | None = "inverted"
    timestep: int = TINY.read_at[0]

    def setting(self, names: str, reach: str) -> dict[str, Any]:
        """As it stands in the results."""
        return {**vars(self), "names": names, "range": reach}


TEACHERS, RAW = (Variant("teacher"), Variant("teacher", timestep=EARLY)), Variant("raw", latents=None)
VARIANTS = tuple(
    Variant(timestep=timestep, **options)
    for timestep in (TINY.read_at[0], EARLY)
    for options in (
        {},
        {"latents": "noised"},
        {"latents": "random"},
        {"train": "adapter"},
        {"train": "full"},
        {"alignment": "index"},
        {"alignment": "matched"},
    )
)


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


def main() -> None:
    """Teacher maps, learning rates, students; a row a student, part of the names, and range."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--work", type=Path, default=Path("stage1-work"), help="folder of the artifacts")
    parser.add_argument("--processes", type=int, default=2, help="students calibrated side by side, a core each")
    options = parser.parse_args()
    size = Size(40, 8, 1, (0, 1)) if options.quick else Size()
    work = options.work / "quick" if options.quick else options.work
    models = fingerprint(embedded_model() / "backbone") + fingerprint(embedded_model() / "clip")
    results = Results("stage1", options, size.seeds, canonical_hash([models, str(size), str(TINY), str(RATES)])[:16])
    if not (work / "world" / "psg.json").is_file():
        world.run(work / "world", size.scenes, (128, 128), TRAIN_SEED, Run(Workspace(work / "unused")), setting="ovdr")
    with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        references = (*TEACHERS, RAW)
        teachers = sorted({(v.latents, v.timestep) for v in VARIANTS}, key=str)
        keys = dict(zip(teachers, pool.map(invert_world, [work] * len(teachers), teachers), strict=True))
        for variant, looks in zip(references, pool.map(_reference, references, [size] * len(references)), strict=True):
            _add(results, variant, [looks], 0, ())
        rates = _tuned(pool, results, work, size, keys)
        asked = [v for v in VARIANTS if not all(results.has(v.setting(*part)) for part in PARTS)]
        jobs = [(work, size, v, keys[v.latents, v.timestep], seed, rates[v]) for v in asked for seed in size.seeds]
        made = pool.map(_student, jobs)
        for variant in asked:
            runs = [next(made) for _ in size.seeds]
            _add(results, variant, [looks for looks, _, _ in runs], runs[0][1], [minutes for _, _, minutes in runs])
    results.show(options)


def _tuned(pool: ProcessPoolExecutor, results: Results, work: Path, size: Size, keys: dict) -> dict[Variant, float]:
    """The learning rate of each student: the one with the least loss on the watched scenes, first seed."""
    jobs = [
        (work, size, v, keys[v.latents, v.timestep], size.seeds[0], rate) for v in VARIANTS for rate in RATES[v.train]
    ]
    best: dict[Variant, tuple[float, float]] = {}
    known = {canonical_hash(row["setting"]): row["metrics"] for row in results.data["rows"]}
    missing = [job for job in jobs if canonical_hash(_rate_setting(job)) not in known]
    for job, found in zip(missing, pool.map(_validation, missing), strict=True):
        results.add(_rate_setting(job), found)
        known[canonical_hash(_rate_setting(job))] = found
    for job in jobs:
        loss = known[canonical_hash(_rate_setting(job))]["watched_loss"]
        best[job[2]] = min(best.get(job[2], (np.inf, 0.0)), (loss, job[5]))
    return {variant: rate for variant, (_, rate) in best.items()}


def _add(
    results: Results, variant: Variant, runs: Sequence[Sequence[Look]], parameters: int, minutes: Sequence[float]
) -> None:
    for names, reach in PARTS:
        setting = variant.setting(names, reach)
        if results.has(setting):
            continue
        metrics: dict[str, Any] = {}
        one = (lambda values: values[0]) if len(runs) == 1 else spread  # what is not trained has no spread
        for suffix, thing in (("", True), ("_stuff", False)):
            own = [[look for look in looks if look.thing == thing and _belongs(look, names, reach)] for looks in runs]
            for name, value in (
                ("pointing", "hit"),
                ("chance", "chance"),
                ("other_picture", "other"),
                ("mass_inside", "inside"),
            ):
                means = [
                    100 * float(np.mean([getattr(look, value) for look in looks])) if looks else None for looks in own
                ]
                metrics[name + suffix] = one(means)
            metrics[f"names_asked{suffix}"] = len(own[0])
        results.add(setting, metrics | {"parameters": parameters, "minutes": spread(list(minutes))})


def _belongs(look: Look, names: str, reach: str) -> bool:
    return names in ("all", "novel" if look.novel else "base") and reach in ("all", "far" if look.far else "near")


def _run(work: Path, source: str | None = None) -> Run:
    return Run(Workspace(work / "workspace"), source=source)


def invert_world(work: Path, teacher: tuple[str, int]) -> str:
    """Teacher maps of the world in ``work``, by latents and timestep: the key of the artifact."""
    latents, timestep = teacher
    config = InvertConfig(
        data=work / "world", latents=latents, read_at=(timestep,), keep="tokens" if latents == "inverted" else "spans"
    )
    return invert.run(config, _run(work)).key


Job = tuple[Path, Size, Variant, str, int, float]


def calibrated(job: Job) -> Any:
    """A student, trained or found done: the step's result."""
    work, size, variant, key, seed, rate = job
    config = CalibrateConfig(
        train=variant.train,
        alignment=variant.alignment,
        epochs=size.epochs,
        learning_rate=rate,
        init="scratch",
        seed=seed,
    )
    return calibrate.run(config, _run(work, key))


def _rate_setting(job: Job) -> dict[str, Any]:
    return {**vars(job[2]), "learning_rate": job[5]}


def _validation(job: Job) -> dict[str, float]:
    """What choices are made by: watched scenes, of base names alone. Things and stuff of any size, so pointing is lower
    than below.
    """
    result = calibrated(job).result
    return {
        "watched_loss": round(result["loss_after"], 4),
        "watched_pointing": round(100 * result["pointing_after"], 1),
    }


def _student(job: Job) -> tuple[list[Look], int, float]:
    """What a calibrated student sees of the held-out scenes, its trained parameters, and minutes of training."""
    made = calibrated(job)
    student = load_student(_backbone(), load_clip("tiny", torch.device("cpu")), made.path / "adapter")
    manifest = Workspace(job[0] / "workspace").newest("calibrate", made.key)
    assert manifest is not None
    return list(_looks(student, job[1], job[2])), made.result["parameters"], manifest.manifest["seconds"] / 60


def _reference(variant: Variant, size: Size) -> list[Look]:
    """The teacher itself, which has each image's caption, and the UNet told the labels only."""
    student = (
        None
        if variant.train == "teacher"
        else Student(
            _backbone(), load_clip("tiny", torch.device("cpu")), None, Kind(TINY.feature_timestep, TINY.map_strides)
        )
    )
    return list(_looks(student, size, variant))


def _backbone() -> Any:
    return load_backbone("tiny", torch.device("cpu"), torch.float32)


@torch.no_grad()
def _looks(student: Student | None, size: Size, variant: Variant) -> Iterator[Look]:
    samples, lessons = _held_out(size.held_out, variant.timestep)
    vocabulary = Vocabulary.of(THINGS, STUFF, PREDICATES)
    alignment = Alignment(
        variant.alignment, [*vocabulary.names, *(label_key(name, False) for name in vocabulary.predicates)]
    )
    seen: list[torch.Tensor] = []
    if student is not None:
        labels = student.label_context(vocabulary)
        seen = [student.maps([student.encode(Image.fromarray(sample.image))], labels)[0] for sample in samples]

    def maps_of(i: int, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Label -> map of image i, found among ``maps`` by its own lesson."""
        where = alignment.positions(maps, lessons[i], alignment.everything)
        return {key: normalise(maps[own]).mean(0) for key, own in where.items() if own}

    for i, sample in enumerate(samples):
        after = (i + 1) % len(samples)
        if student is None:
            own, other = ({target.key: target.map for target in lessons[n].targets} for n in (i, after))
        else:
            # An assignment by the image's own caption or teacher is an oracle; the next image's maps show what it
            # gives away.
            own, other = maps_of(i, seen[i]), maps_of(i, seen[after])
        yield from _scene_looks(sample, lessons[i], own, other)


def _scene_looks(
    sample: WorldSample, lesson: TeacherMaps, own: dict[str, torch.Tensor], other: dict[str, torch.Tensor]
) -> Iterator[Look]:
    far = _far_segments(sample)
    for target in lesson.targets:
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
def _held_out(count: int, timestep: int) -> tuple[list[WorldSample], list[TeacherMaps]]:
    """Held-out scenes, and what the teacher sees of them under their own captions: which names are asked for, the
    oracles' assignment.
    """
    samples = [make_sample(HELD_OUT_SEED, i) for i in range(count)]
    backbone, plan = _backbone(), MapPlan(TINY.steps, (timestep,), TINY.map_strides)
    found = []
    for start in range(0, len(samples), 32):
        part = samples[start : start + 32]
        prompts = [prompts_of(backbone, sample) for sample in part]
        found += [TeacherMaps.of(_kept(own)) for own in look(backbone, images(part), prompts, plan)[0]]
    return samples, found


def _kept(own: ImageMaps) -> KeptMaps:
    spans = [
        {
            "role": m.span.role,
            "name": m.span.name,
            "segment": m.span.segment,
            "prompt": m.prompt,
            "tokens": list(m.tokens),
        }
        for m in own.mentions
    ]
    maps = torch.stack([m.map for m in own.mentions])
    return KeptMaps("", spans, maps, list(own.tokens), [], maps[:0])


if __name__ == "__main__":
    main()
