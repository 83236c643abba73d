"""``spade quickstart`` from an empty folder, with several seeds (each its own world and its own training).

What its table says of each step on its few held-out scenes is judged again on 300 further scenes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common.results import Results, arguments, spread
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.models.checkpoint import read_model
from spade.steps import evaluate
from spade.steps.common import Run
from spade.steps.config import EvalConfig, QuickstartConfig
from spade.steps.quickstart import FIRST, SETTING, world_folder
from spade.steps.results import StepWorth
from spade.steps.step_worth import AT, calibration_worth, heads_worth
from spade.world.dataset import write_world

FURTHER_SEED, FURTHER = 9_500, 300


def main() -> None:
    """One quickstart a seed; seconds, and whether each step is worth something."""
    options = arguments(__doc__ or "")
    seeds, images, further = ((0,), 20, 8) if options.quick else ((0, 1, 2), 100, FURTHER)
    results = Results("quickstart", options, seeds, read_model(embedded_model()).fingerprint())
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "further"
        for seed in seeds:
            setting = {"seed": seed, "images": images, "further": further}
            if results.has(setting):
                continue
            write_world(scenes, 5 * further, (128, 128), FURTHER_SEED, SETTING, False, iter)
            results.add(setting, _judged(Path(folder) / str(seed), scenes, seed, images))
    metrics = [row["metrics"] for row in results.data["rows"]]
    steps = [step for one in metrics for step in one["steps"]]
    results.headline(
        seconds=spread([one["seconds"] for one in metrics]),
        first_picture_s=spread([one["first_picture_s"] for one in metrics]),
        rows_improved=round(100 * sum(step["value"] > step["without"] for step in steps) / len(steps), 1),
    )
    results.show(options)


def _judged(folder: Path, scenes: Path, seed: int, images: int) -> dict[str, Any]:
    folder.mkdir()
    began = time.perf_counter()
    command = [sys.executable, "-m", "spade_cli", "quickstart", "--images", str(images), "--seed", str(seed), "--json"]
    first = None
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:  # its messages, as they come; json is one object at the end
            if FIRST in line and first is None:
                first = time.perf_counter() - began
        document = json.loads(process.stdout.read())
    seconds = time.perf_counter() - began
    assert process.returncode == 0, "quickstart stopped"
    assert first is not None, "no photograph was there"
    workspace = Workspace(Workspace(folder / "spade-workspace").quickstart)
    steps = _further_worth(workspace, scenes, document["key"], QuickstartConfig(images=images, seed=seed))
    return {
        "seconds": round(seconds, 1),
        "first_picture_s": round(first, 2),
        "step_seconds": document["result"]["step_seconds"],
        "steps": [_percent(vars(step)) for step in steps],
        "models": {
            name: {measure: None if value is None else round(100 * value, 2) for measure, value in row.items()}
            for name, row in document["result"]["models"].items()
        },
    }


def _further_worth(workspace: Workspace, scenes: Path, heads: str, made: QuickstartConfig) -> list[StepWorth]:
    """What a quickstart's steps are worth on other scenes."""
    further, own = load_psg(scenes), load_psg(world_folder(workspace, made))
    records, calibration = further.split("test"), workspace.need("calibrate", "the benchmark")
    model = workspace.root / "train-relations" / heads
    config = EvalConfig(data=scenes, at=(AT,), model=model)
    predictions = evaluate.run(config, Run(workspace)).result.metrics["predictions"]
    return [
        calibration_worth(made, calibration, further, records),
        *heads_worth(further, own.split("train"), records, Path(predictions)),
    ]


def _percent(step: dict[str, Any]) -> dict[str, Any]:
    return step | {name: round(100 * step[name], 2) for name in ("without", "value")}


if __name__ == "__main__":
    main()
