"""Stage 1 on the embedded world: where students look without a caption, by how they were calibrated.

Every student learns from the same scenes of the ovdr setting (base names only), from scratch, for the same number of
epochs, with the best of three learning rates (each student's own, chosen on validation scenes with the first seed).
Held-out scenes are seen once a student, under the whole label list, novel names included. Artifacts are kept in
``--work``, so a rerun goes on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.calibration.looks import Look, Variant, looks_of, tiny_backbone
from benchmarks.common.results import Results, spread
from spade.core.files import canonical_hash
from spade.core.hub import fingerprint
from spade.core.workspace import Workspace
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.diffusion.config import CalibrationConfig
from spade.diffusion.student import Kind, Student, load_student
from spade.open_vocabulary.clip import load_clip
from spade.steps import calibrate, invert, world
from spade.steps.common import Run, StepResult
from spade.steps.config import CalibrateConfig, InvertConfig
from spade.steps.results import CalibrateResult

TRAIN_SEED = 5_000
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


TEACHERS, RAW = (Variant("teacher"), Variant("teacher", timestep=EARLY)), Variant("raw", latents=None)
VARIANTS = tuple(
    Variant(timestep=timestep, **options)
    for timestep in (TINY.inversion.read_at[0], EARLY)
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
    """The learning rate of each student: the one with the least loss on the validation scenes, first seed."""
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
    keep = "tokens" if latents == "inverted" else "spans"
    settings = {"latents": latents, "read_at": (timestep,), "keep": keep}
    return invert.run(InvertConfig(data=work / "world", settings=settings), _run(work)).key


Job = tuple[Path, Size, Variant, str, int, float]


def calibrated(job: Job) -> StepResult[CalibrateResult]:
    """A student, trained or found done: the step's result."""
    work, size, variant, key, seed, rate = job
    settings = {
        "train": variant.train,
        "alignment": variant.alignment,
        "epochs": size.epochs,
        "learning_rate": rate,
    }
    return calibrate.run(CalibrateConfig(init="scratch", seed=seed, settings=settings), _run(work, key))


def _rate_setting(job: Job) -> dict[str, Any]:
    return {**vars(job[2]), "learning_rate": job[5]}


def _validation(job: Job) -> dict[str, float]:
    """What choices are made by: validation scenes, of base names alone. Things and stuff of any size, so
    pointing is lower than below.
    """
    result = calibrated(job).result
    return {
        "watched_loss": round(result.loss_after, 4),
        "watched_pointing": round(100 * (result.pointing_after or 0.0), 1),
    }


def _student(job: Job) -> tuple[list[Look], int, float]:
    """What a calibrated student sees of the held-out scenes, its trained parameters, and minutes of training."""
    made = calibrated(job)
    student = load_student(tiny_backbone(), load_clip("tiny", torch.device("cpu")), made.path / "adapter")
    manifest = Workspace(job[0] / "workspace").newest("calibrate", made.key)
    assert manifest is not None
    return list(looks_of(student, job[1].held_out, job[2])), made.result.parameters, manifest.manifest["seconds"] / 60


def _reference(variant: Variant, size: Size) -> list[Look]:
    """The teacher itself, which has each image's caption, and the UNet told the labels only."""
    student = (
        None
        if variant.train == "teacher"
        else Student(
            tiny_backbone(),
            load_clip("tiny", torch.device("cpu")),
            None,
            Kind(CalibrationConfig.timestep, TINY.inversion.grids),
        )
    )
    return list(looks_of(student, size.held_out, variant))


if __name__ == "__main__":
    main()
