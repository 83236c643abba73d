"""Stage 2 on the embedded world: the full model against its baselines, its parts one by one, and what calibration is
worth.

Six mask generators (calibrated UNet, raw UNet, plain convolutional encoder; all names, or base names) are trained once
and frozen; relation heads are trained on what they make of the same scenes, with the same options. Held-out scenes are
seen once a model. Everything is kept in ``--work``, and rows in the results as they finish, so a rerun goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from benchmarks.calibration.looks import Variant
from benchmarks.calibration.students import invert_world
from benchmarks.common.results import Results, spread
from benchmarks.relations.baselines import BASELINES, answered, trained
from benchmarks.relations.encoders import Contradicted, calibrated_folder
from benchmarks.relations.generators import (
    GENERATORS,
    frozen_job,
    generator_print,
    learn,
    names_of,
    once,
    train_generator,
)
from benchmarks.relations.on_features import calibration
from benchmarks.relations.parts import AT, measured
from benchmarks.relations.rows import COMPARED, MODES, OURS, ROWS, SEEDS, Ablation, PredictionSource
from benchmarks.relations.scenes import Place, asked_for
from spade.data.samples import annotated_regions
from spade.evaluation.scoring.predicted_image import PredictedImage, from_prediction
from spade.models.build import build_relation_head
from spade.models.segmented_image import SegmentedImage
from spade.relations.head import RelationHead
from spade.relations.losses import Imbalance
from spade.relations.pair_selection import mean_selected_recall

CALIBRATIONS: tuple[tuple[str, Variant | None], ...] = (
    ("raw UNet", None),
    ("image adapter alone", Variant(train="adapter")),
    ("random noise", Variant(latents="random")),
    ("noised latents", Variant(latents="noised")),
    ("whole UNet", Variant(train="full")),
    ("LoRA", Variant()),
    ("LoRA, index", Variant(alignment="index")),
    ("LoRA, matched", Variant(alignment="matched")),
    ("LoRA, counterfactual", Contradicted()),
)


def main() -> None:
    """Generators, baselines, relation rows, calibrations."""
    options = asked_for(__doc__ or "")
    place = Place(options.work, options.students)
    asked, calibrations = ROWS, CALIBRATIONS
    if options.quick:
        place = Place(options.work / "quick", options.work / "quick" / "students", 24, 1, 1, 1)
        asked = tuple(
            replace(row, seeds=SEEDS[:1], sources=()) for row in ROWS if row.model == "full" and row.setting != "ovr"
        )
        calibrations = CALIBRATIONS[:1]
    results = Results("stage2", options, SEEDS, place.measured())
    place.make_worlds()
    with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        # A rerun makes what its missing rows need, and no more.
        jobs: list[tuple[Callable[[Any], Any], Any]] = []
        encoders: set[tuple[str, str]] = set()
        students: set[tuple[Variant, int]] = {(Variant(), SEEDS[0])}
        for setting in sorted({row.setting for row in asked}, reverse=True):
            missing = [name for name in BASELINES if not _has(results, name, setting, "predcls")]
            jobs += [(counted, (place, name, setting)) for name in missing]
            own = [row for row in asked if row.setting == setting and not _has(results, row.model, setting, "predcls")]
            # What the full model is compared with comes first; rows of one encoder follow each other: a process keeps
            # its segments.
            jobs += [
                (learned, (place, row, row.seeds))
                for row in sorted(own, key=lambda row: (row.model not in COMPARED, row.encoder))
            ]
            encoders |= {(row.encoder, setting) for row in own} | {("calibrated", setting) for _ in missing}
        for setting in ("ovr", "ovdr"):
            for name, variant in calibrations:
                if not _has(results, f"on features: {name}", setting, "predcls"):
                    jobs.append((_on_features, (place, name, variant, setting)))
                    students |= {(variant, seed) for seed in SEEDS if variant is not None}
        teachers = sorted({(student.latents or "", student.timestep) for student, _ in students})
        list(pool.map(invert_world, [place.students] * len(teachers), teachers))
        list(pool.map(calibrated_folder, [place] * len(students), *zip(*sorted(students, key=str), strict=True)))
        needed = {(encoder, names_of(setting)) for encoder, setting in encoders}
        list(pool.map(train_generator, [(place, *generator) for generator in GENERATORS if generator in needed]))
        for done in as_completed(pool.submit(*job) for job in jobs):
            for setting_row, metrics in done.result():
                results.add(setting_row, metrics)
    results.show(options)


def _has(results: Results, model: str, setting: str, mode: str) -> bool:
    return any(
        row["setting"]["model"] == model and row["setting"]["setting"] == setting and row["setting"]["mode"] == mode
        for row in results.data["rows"]
    )


Rows = list[tuple[dict[str, Any], dict[str, Any]]]


def learned(job: tuple[Place, Ablation, tuple[int, ...]]) -> Rows:
    """Train a row's heads for each seed: metrics of the held-out scenes in both modes, and with OpenCLIP's view where
    asked for.
    """
    place, row, seeds = job
    heads = [_trained(place, row, seed) for seed in seeds]
    out = []
    for way in (OURS, *row.sources):
        for mode in MODES:
            out += _joined(
                row.model + way.name,
                row.setting,
                mode,
                [_held_out_metrics(place, row, own, mode, way) for own in heads],
            )
    return out


def _trained(place: Place, row: Ablation, seed: int) -> RelationHead:
    """Relation heads of a row; found done in the work folder, where what only tests differ in can be asked of them
    again.
    """
    job, method = frozen_job(place, row.encoder, row.setting), row.method
    torch.manual_seed(seed)
    heads = build_relation_head(method.relations, job.student.clip.dim)
    what = [generator_print(place, row.encoder, row.setting), row.setting, str(method)]
    what += [str(seed), str(place.epochs), str(place.scenes)]

    def train() -> None:
        torch.manual_seed(seed)
        job.heads.relations, job.model.fusion = heads, 1.0
        job.weights = {"mask": method.masks.mask_weight, **method.losses.weights}
        job.imbalance = Imbalance.of(job.counts, method.losses.logit_adjustment, method.losses.reweighting)
        job.found_masks = 0.5 if method.masks.mask_source == "both" else 0.0
        learn(job.parameters(), job.images, job.losses, job.validate, place.epochs, seed)

    once(place, what, heads, train)
    return heads.eval()


def _held_out_metrics(
    place: Place, row: Ablation, heads: RelationHead, mode: str, way: PredictionSource
) -> list[tuple[dict, dict]]:
    job, dataset = frozen_job(place, row.encoder, row.setting), place.dataset(row.setting)
    # Where names of segments do not change, what is seen does not either.
    named = mode == "sgdet" and (way.fusion < 1 or row.setting == "ovdr")
    seen, records = _held_out(place, row.encoder, row.setting, mode, way if named else OURS), dataset.split("test")
    job.heads.relations = heads
    way.set(job.model)
    selected = []

    def predict(index: int) -> PredictedImage:
        found = job.model.relate(seen[index])
        selected.append((found.pairs, records[index].relations))
        return from_prediction(records[index].image_id, found)

    rows = measured(dataset, row.setting, mode, predict)
    if mode == "predcls":
        rows[0][1].update({f"PS@{k}": 100 * (mean_selected_recall(selected, k) or 0.0) for k in AT})
    return rows


@lru_cache(maxsize=2)
def _held_out(place: Place, encoder: str, setting: str, mode: str, way: PredictionSource) -> list[SegmentedImage]:
    """The held-out scenes' segments, found or given, under the whole list of names."""
    job, dataset = frozen_job(place, encoder, setting), place.dataset(setting)
    way.set(job.model)
    job.heads.eval()
    if mode == "sgdet":
        return [job.model.segment(dataset.image_path(record), dataset.vocabulary) for record in dataset.split("test")]
    return [
        job.model.encode_segments(
            dataset.image_path(record),
            annotated_regions(dataset, record),
            [s.category for s in record.segments],
            dataset.vocabulary,
        )
        for record in dataset.split("test")
    ]


def counted(job: tuple[Place, str, str]) -> Rows:
    """A baseline that does not look: on the calibrated generator's segments, and on given ones."""
    place, name, setting = job
    dataset, frozen = place.dataset(setting), frozen_job(place, "calibrated", setting)
    score = trained(name, dataset.for_training(), dataset.classes, dataset.predicates, frozen)
    records, rows = dataset.split("test"), []
    for mode in MODES:
        seen = _held_out(place, "calibrated", setting, mode, OURS)
        OURS.set(frozen.model)

        def predict(index: int, seen: list[SegmentedImage] = seen) -> PredictedImage:
            return from_prediction(records[index].image_id, answered(frozen.model.relate(seen[index]), score))

        rows += _joined(name, setting, mode, [measured(dataset, setting, mode, predict)])
    return rows


def _on_features(job: tuple[Place, str, Variant | None, str]) -> Rows:
    place, name, variant, setting = job
    rows = _joined(f"on features: {name}", setting, "predcls", calibration((place, variant, setting, SEEDS)))
    return [(own, metrics | {"students": 1 if variant is None else len(SEEDS)}) for own, metrics in rows]


def _joined(model: str, setting: str, mode: str, runs: Sequence[list[tuple[dict, dict]]]) -> Rows:
    """Mean and spread over seeds of each part."""
    out = []
    for place, (own, first) in enumerate(runs[0]):
        # Segments are one generator's: they do not depend on the seed.
        metrics = {
            name: spread([run[place][1][name] for run in runs[: 1 if name.startswith("PQ") else None]])
            for name in first
        }
        out.append(({"model": model, "mode": mode, "setting": setting, **own}, metrics))
    return out


if __name__ == "__main__":
    main()
