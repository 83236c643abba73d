"""All steps on a small world, from the packaged weights to a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.config import CalibrateConfig, InvertConfig
from spade.steps import calibrate, evaluate, export_graph, invert, predict, train_relations, world
from spade.steps.common import Run, StepResult, no_source
from spade.steps.config import EvalConfig, ExportConfig, PredictConfig, RelationsConfig

SHOWN = ("PQ", "R@20", "R@50", "mR@20", "mR@50")


@dataclass(frozen=True)
class QuickstartConfig:
    """``spade quickstart``. 0 epochs: the tiny backbone's preset."""

    images: int = 300
    epochs: int = 0
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    @property
    def numbers(self) -> dict[str, Any]:
        """What every step's config holds."""
        return {"seed": self.seed, "device": self.device, "dtype": self.dtype}


def run(config: QuickstartConfig, run: Run) -> StepResult:
    """Make a world, measure the packaged model on it, run every step, measure again, draw a held-out scene."""
    no_source(run, "spade quickstart")
    began = time.perf_counter()
    workspace, report = run.workspace, run.report
    data, numbers = workspace.root / "world", config.numbers
    done: dict[str, StepResult] = {}

    def finish(name: str, result: StepResult) -> StepResult:
        done[name] = result
        report.say(f"{name}: {'cached' if result.cached else f'{result.seconds:.1f} s'}")
        return result

    finish("world", world.run(data, config.images, (128, 128), config.seed, run))
    at = EvalConfig(data=data, at=(20, 50), **numbers)
    before = finish("eval packaged", evaluate.run(replace(at, model=embedded_model()), run))
    finish("invert", invert.run(InvertConfig(data=data, **numbers), run))
    finish("calibrate", calibrate.run(CalibrateConfig(epochs=config.epochs, **numbers), run))
    trained = finish("train-relations", train_relations.run(RelationsConfig(epochs=config.epochs, **numbers), run))
    after = finish("eval this run", evaluate.run(replace(at, model=trained.path), run))
    scene = _telling_scene(data)
    drawn = finish("predict", predict.run(PredictConfig(images=(str(scene),), model=trained.path, **numbers), run))
    finish("export-graph", export_graph.run(ExportConfig(graphs=(drawn.path / drawn.result["graphs"][0],)), run))
    picture = drawn.path / f"{scene.stem}.figure.png"
    result = {
        "figures": {"packaged": _shown(before.result), "this run": _shown(after.result)},
        "held_out_images": after.result["images"],
        "step_seconds": {name: step.seconds for name, step in done.items()},
        "picture": str(picture.resolve()),
    }
    cached = all(step.cached for step in done.values())
    return StepResult("quickstart", trained.key, workspace.root, cached, round(time.perf_counter() - began, 3), result)


def _telling_scene(data: Path) -> Path:
    """The held-out picture whose annotation has the most different predicates; the first of them."""
    dataset = load_psg(data)
    return dataset.image_path(max(dataset.split("test"), key=lambda record: len({p for _, _, p in record.relations})))


def _shown(figures: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: figures[name] for name in SHOWN}
