"""All steps on a small world, from the packaged weights to a figure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.steps import calibrate, evaluate, export_graph, invert, predict, train_relations, world
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
from spade.steps.results import QuickstartResult

SHOWN = ("PQ", "R@20", "R@50", "mR@20", "mR@50")


def run(config: QuickstartConfig, run: Run) -> StepResult[QuickstartResult]:
    """Make a world, measure the packaged model on it, run every step, measure again, draw a held-out scene."""
    no_source(run, "spade quickstart")
    began = time.perf_counter()
    workspace, report = run.workspace, run.report
    data, seed = workspace.root / "world", config.seed
    device, dtype = config.device, config.dtype
    seconds: dict[str, float] = {}
    all_cached = True

    def note(name: str, result: StepResult[Any]) -> None:
        nonlocal all_cached
        all_cached, seconds[name] = all_cached and result.cached, result.seconds
        report.say(f"{name}: {'cached' if result.cached else f'{result.seconds:.1f} s'}")

    note("world", world.run(data, config.images, (128, 128), seed, run))
    at = EvalConfig(data=data, at=(20, 50), seed=seed, device=device, dtype=dtype)
    before = evaluate.run(replace(at, model=embedded_model()), run)
    note("eval packaged", before)
    note("invert", invert.run(InvertConfig(data=data, seed=seed, device=device, dtype=dtype), run))
    epochs = {} if config.epochs is None else {"epochs": config.epochs}
    note("calibrate", calibrate.run(CalibrateConfig(seed=seed, settings=epochs, device=device, dtype=dtype), run))
    trained = train_relations.run(TrainRelationsConfig(seed=seed, settings=epochs, device=device, dtype=dtype), run)
    note("train-relations", trained)
    after = evaluate.run(replace(at, model=trained.path), run)
    note("eval this run", after)
    scene = _telling_scene(data)
    drawn = predict.run(PredictConfig(images=(str(scene),), model=trained.path, device=device, dtype=dtype), run)
    note("predict", drawn)
    note("export-graph", export_graph.run(ExportConfig(graphs=(drawn.path / drawn.result.graphs[0],)), run))
    result = QuickstartResult(
        metrics={"packaged": _shown(before.result.metrics), "this run": _shown(after.result.metrics)},
        held_out_images=after.result.metrics["images"],
        step_seconds=seconds,
        figure=str((drawn.path / f"{scene.stem}.figure.png").resolve()),
    )
    elapsed = round(time.perf_counter() - began, 3)
    return StepResult("quickstart", trained.key, workspace.root, all_cached, elapsed, result)


def _telling_scene(data: Path) -> Path:
    """The held-out image whose annotation has the most different predicates; the first of them."""
    dataset = load_psg(data)
    return dataset.image_path(max(dataset.split("test"), key=lambda record: len({p for _, _, p in record.relations})))


def _shown(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: metrics[name] for name in SHOWN}
