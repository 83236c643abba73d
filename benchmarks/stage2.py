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
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from common import Results, spread
from stage1 import Variant, invert_world
from stage2_baselines import Boosting, Frequency, Numbering, and_found, annotated, answered
from stage2_features import calibration
from stage2_figures import AT, measured
from stage2_scenes import (
    GENERATORS,
    Contradicted,
    Place,
    asked_for,
    calibrated_folder,
    frozen_job,
    generator_print,
    learn,
    names_of,
    once,
    relation_config,
    train_generator,
)

from spade.data.samples import annotated_numbers
from spade.evaluation.scoring.predicted_image import PredictedImage, from_prediction
from spade.models.config import UNSEEN_ODDS
from spade.models.predictor import SceneGraphPredictor, SegmentedImage
from spade.relations.head import RelationHead
from spade.relations.losses import WEIGHTS, Imbalance
from spade.relations.pair_selection import mean_selected_recall

SETTINGS, MODES, SEEDS = ("closed", "ovr", "ovdr"), ("sgdet", "predcls"), (0, 1, 2)


@dataclass(frozen=True)
class PredictionSource:
    """How trained heads are asked: exponent of the diffusion branch, odds of names that training did not have."""

    name: str = ""
    fusion: float = 1.0
    odds: float = UNSEEN_ODDS
    sure_gives: bool = False  # whether the classifier gives names it does not know a share where it is sure, too

    def set(self, model: SceneGraphPredictor) -> None:
        """Ask a model in this way."""
        model.fusion, model.odds, model.sure_gives = self.fusion, self.odds, self.sure_gives


OURS = PredictionSource()
OTHERS = (
    PredictionSource(", novel names by text alone", odds=0.0),
    *(PredictionSource(f", novel odds {odds:g}", odds=odds) for odds in (1.0, 2.0, 8.0)),
    PredictionSource(", novel odds 1, sure ones give, too", odds=1.0, sure_gives=True),
    *(PredictionSource(f", diffusion {exponent}", exponent, 0.0) for exponent in (0.67, 0.34, 0.0)),
)


@dataclass(frozen=True)
class Relations:
    """A relation part to be trained: its name in the results, whose segments it gets, and what is changed about it."""

    model: str
    encoder: str = "calibrated"
    setting: str = "closed"
    options: tuple[tuple[str, Any], ...] = ()
    rqc: float = WEIGHTS["rqc"]
    imbalance: str = "none"
    seeds: tuple[int, ...] = SEEDS
    ways: tuple[PredictionSource, ...] = ()
    masks: str = "both"


def full(setting: str) -> Relations:
    """Ours."""
    return Relations("full", setting=setting, ways=OTHERS if setting != "closed" else ())


def _parts(*names: str) -> tuple[tuple[str, Any], ...]:
    return (("context", names),)


COMPARED = ("full", "raw encoder", "plain encoder")
ROWS = (
    *(full(setting) for setting in SETTINGS),
    *(Relations(f"{encoder} encoder", encoder, setting) for setting in SETTINGS for encoder in ("raw", "plain")),
    Relations("no graph", options=(("layers", 0),), rqc=0),
    Relations("neighbours", options=_parts("near"), rqc=0),
    Relations("neighbours, others", options=_parts("near", "far"), rqc=0),
    Relations("neighbours, others, convolution", rqc=0),
    Relations("symmetric pairs", options=(("selector", "cosine"),), seeds=(0,)),
    Relations("no geometry", options=(("geometry", False),)),
    Relations("no waves of geometry", options=(("octaves", 0),), seeds=(0,)),
    Relations("pairs not told where they look", options=(("places", False),)),
    Relations("annotated masks only", masks="annotated", seeds=(0,)),
    Relations("literal attention", options=(("attention", "literal"),), seeds=(0,)),
    Relations("soft neighbours", options=(("neighbours", "soft"),), seeds=(0,)),
    Relations("role gate", options=(("gate", True),), seeds=(0,)),
    Relations("union boxes", options=(("unions", True),), seeds=(0,)),
    Relations("attention to predicates", options=(("maps", True),), seeds=(0,)),
    Relations("decision contrast 0.3", options=(("contrast", 0.3),), seeds=(0,)),
    Relations("logits adjusted by 0.5", imbalance="adjust", seeds=(0,)),
)
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
            replace(row, seeds=SEEDS[:1], ways=()) for row in ROWS if row.model == "full" and row.setting != "ovr"
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


def learned(job: tuple[Place, Relations, tuple[int, ...]]) -> Rows:
    """Train a row's heads for each seed; figures of the held-out scenes in both modes, and with OpenCLIP's view where
    asked for.
    """
    place, row, seeds = job
    heads = [_trained(place, row, seed) for seed in seeds]
    out = []
    for way in (OURS, *row.ways):
        for mode in MODES:
            out += _joined(
                row.model + way.name,
                row.setting,
                mode,
                [_held_out_figures(place, row, own, mode, way) for own in heads],
            )
    return out


def _trained(place: Place, row: Relations, seed: int) -> RelationHead:
    """Relation heads of a row; found done in the work folder, where what only tests differ in can be asked of them
    again.
    """
    job = frozen_job(place, row.encoder, row.setting)
    torch.manual_seed(seed)
    heads = RelationHead(relation_config(job.student.clip.dim, **dict(row.options)))
    what = [generator_print(place, row.encoder, row.setting), row.setting, str(heads.config)]
    what += [row.rqc, row.imbalance, row.masks, seed, place.epochs, place.scenes]

    def train() -> None:
        job.precompute()
        torch.manual_seed(seed)
        job.heads.relations, job.model.fusion = heads, 1.0
        job.weights, job.imbalance = WEIGHTS | {"rqc": row.rqc}, Imbalance.of(row.imbalance, job.counts, 0.5)
        job.found_masks = 0.5 if row.masks == "both" else 0.0
        learn(job.parameters(), job.images, job.losses, job.validate, place.epochs, seed)

    once(place, what, heads, train)
    return heads.eval()


def _held_out_figures(
    place: Place, row: Relations, heads: RelationHead, mode: str, way: PredictionSource
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
            annotated_numbers(dataset, record),
            [s.category for s in record.segments],
            dataset.vocabulary,
        )
        for record in dataset.split("test")
    ]


BASELINES = ("frequency", "boosting", "boosting, on found boxes, too")


def counted(job: tuple[Place, str, str]) -> Rows:
    """A baseline that does not look: on the calibrated generator's segments, and on given ones."""
    place, name, setting = job
    dataset, job_ = place.dataset(setting), frozen_job(place, "calibrated", setting)
    training = dataset.for_training()
    numbering = Numbering(training, dataset.classes, dataset.predicates)
    if name == "frequency":
        score: Any = Frequency(training, numbering)
    elif name == "boosting":
        score = Boosting(*annotated(training, numbering), len(dataset.predicates))
    else:
        score = Boosting(*and_found(job_, numbering), len(dataset.predicates))
    records, rows = dataset.split("test"), []
    for mode in MODES:
        seen = _held_out(place, "calibrated", setting, mode, OURS)
        OURS.set(job_.model)

        def predict(index: int, seen: list[SegmentedImage] = seen) -> PredictedImage:
            return from_prediction(records[index].image_id, answered(job_.model.relate(seen[index]), score))

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
