"""All steps on a small world, what each of them is worth there, and pictures of what the packaged models do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.workspace import Workspace
from spade.data.example_photos import example_photos
from spade.data.readers import load_dataset
from spade.diffusion.backbone_files import embedded_model
from spade.steps import calibrate, evaluate, example, export_graph, invert, predict, train_relations, world
from spade.steps.common import Run, StepResult, no_source
from spade.steps.config import (
    CalibrateConfig,
    EvalConfig,
    ExportConfig,
    InvertConfig,
    PredictConfig,
    QuickstartConfig,
    TrainRelationsConfig,
)
from spade.steps.results import PredictResult, QuickstartResult
from spade.steps.step_worth import AT, worth

SETTING = "closed"  # all of the world's names, which the packaged masks were trained to find
# Of so few scenes a tenth says nothing about which epoch is best: their average is kept, and dropout is strong. Chosen
# on scenes of neither this run nor its benchmark.
HEADS = {"epochs": 60, "learning_rate": 2e-3, "validate_every": 60, "ema_decay": 0.98, "dropout": 0.3}
# Fewer epochs teach so few scenes no masks: after six their PQ is 1 %, after forty 36 (docs/results/product.md).
MASKS = {"epochs": 40, "validate_every": 40}
FIRST = "the graph of a photograph is there:"
SHOWN = ("PQ", f"R@{AT}", f"mR@{AT}")


class _Steps:
    """Runs steps one after the other, says how long each took, and whether all were there already."""

    def __init__(self, run: Run) -> None:
        self.run, self.seconds, self.cached = run, dict[str, float](), True

    def note(self, name: str, result: StepResult[Any]) -> None:
        self.seconds[name], self.cached = result.seconds, self.cached and result.cached
        self.run.report.say(f"{name}: {'cached' if result.cached else f'{result.seconds:.1f} s'}")


def run(config: QuickstartConfig, run: Run) -> StepResult[QuickstartResult]:
    """Relate a photograph's segments; make a world, run every step on it and say what each is worth on held-out
    scenes; draw the one of these that the seed picks.
    """
    no_source(run, "spade quickstart")
    began = time.perf_counter()
    run = replace(run, workspace=Workspace(run.workspace.quickstart))
    steps, seed = _Steps(run), config.seed
    compute: dict[str, Any] = {"device": config.device, "dtype": config.dtype}
    photo_page = _photograph(steps, compute)
    first = round(time.perf_counter() - began, 3) if photo_page else None
    data = world_folder(run.workspace, config)
    steps.note("world", world.run(data, config.images, (128, 128), seed, run, setting=SETTING))
    # Each step is told which result it goes on from: the newest may be of a run with another seed.
    inverted = invert.run(InvertConfig(data=data, seed=seed, **compute), run)
    steps.note("invert", inverted)
    on_maps = replace(run, source=inverted.key)
    calibrated = calibrate.run(CalibrateConfig(init="scratch", seed=seed, **compute), on_maps)
    steps.note("calibrate", calibrated)
    scratch = TrainRelationsConfig(data=data, init="scratch", seed=seed, **compute)
    heads = train_relations.run(replace(scratch, masks_from=embedded_model(), settings=HEADS), run)
    steps.note("train-relations", heads)
    models = {"trained in this run on the packaged masks": heads.path, "packaged": embedded_model()}
    if config.full:
        whole = train_relations.run(replace(scratch, settings=MASKS), replace(run, source=calibrated.key))
        steps.note("train-relations, masks too", whole)
        models = {"masks and relations trained in this run": whole.path, **models}
    at = EvalConfig(data=data, at=(AT,), seed=seed, **compute)
    scored = {}
    for name, folder in models.items():
        scored[name] = evaluate.run(replace(at, model=folder), run)
        steps.note(f"eval, {name}", scored[name])
    dataset = load_dataset(data)
    calibration = run.workspace.need("calibrate", "spade quickstart", calibrated.key)
    trained = scored["trained in this run on the packaged masks"].result.metrics
    judged = worth(config, calibration, dataset, Path(trained["predictions"]), {"heads": heads.key}, run)
    steps.note("worth", judged)
    held_out = dataset.split("test")
    scene = dataset.image_path(held_out[int(np.random.default_rng(seed).integers(len(held_out)))])
    drawn = predict.run(PredictConfig(images=(str(scene),), model=embedded_model(), **compute), run)
    steps.note("predict", drawn)
    graph = drawn.path / drawn.result.graphs[0]
    steps.note("export-graph", export_graph.run(ExportConfig(graphs=(graph,)), run))
    result = QuickstartResult(
        steps=judged.result.steps,
        models={name: _shown(done.result.metrics) for name, done in scored.items()},
        held_out_images=len(held_out),
        step_seconds=steps.seconds,
        first_picture_seconds=first,
        photo_page=photo_page,
        figure=str((drawn.path / f"{scene.stem}.figure.png").resolve()),
        page=_page(drawn),
    )
    elapsed = round(time.perf_counter() - began, 3)
    return StepResult("quickstart", heads.key, run.workspace.root, steps.cached, elapsed, result)


def world_folder(workspace: Workspace, config: QuickstartConfig) -> Path:
    """The world of a seed and a number of scenes: another one does not replace it."""
    return workspace.root / f"world-{config.images}-{config.seed}"


def _photograph(steps: _Steps, compute: Mapping[str, Any]) -> str | None:
    """The page of an example photograph's graph; None where no package that has one is installed."""
    if all(photo.source is None for photo in example_photos()):
        steps.run.report.say("no photograph: matplotlib is installed without its sample data")
        return None
    photos = example.run(steps.run.workspace.root / "photos", steps.run).result
    config = PredictConfig(images=(photos.photos[0],), segments=Path(photos.segments), **compute)
    drawn = predict.run(config, steps.run)
    steps.note("predict, of a photograph", drawn)
    page = _page(drawn)
    steps.run.report.say(f"{FIRST} {page}")
    return page


def _page(drawn: StepResult[PredictResult]) -> str:
    return str((drawn.path / str(drawn.result.page)).resolve())


def _shown(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: metrics[name] for name in SHOWN}
