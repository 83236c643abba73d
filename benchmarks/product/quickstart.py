"""``spade quickstart`` from an empty folder, with several seeds (each its own world and its own training)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from benchmarks.common.results import Results, arguments, spread
from spade.diffusion.backbone_files import embedded_model
from spade.models.checkpoint import read_model


def main() -> None:
    """One quickstart a seed; the packaged model, and the model after the run's training, on the same held-out
    scenes.
    """
    options = arguments(__doc__ or "")
    seeds, images = ((0,), 20) if options.quick else ((0, 1, 2), 300)
    results = Results("quickstart", options, seeds, read_model(embedded_model()).fingerprint())
    if not results.data["rows"]:
        runs = [_run(seed, images) for seed in seeds]
        for model in ("packaged", "this run"):
            metrics = [run["result"]["metrics"][model] for run, _ in runs]
            metrics = {
                name: spread([None if f[name] is None else 100 * f[name] for f in metrics]) for name in metrics[0]
            }
            results.add(
                {"model": model, "images": images, "held_out": runs[0][0]["result"]["held_out_images"]}, metrics
            )
        steps = runs[0][0]["result"]["step_seconds"]
        seconds = {name: spread([run["result"]["step_seconds"][name] for run, _ in runs]) for name in steps}
        results.add({"seconds": "by step"}, seconds | {"whole command": spread([wall for _, wall in runs])})
    results.show(options)


def _run(seed: int, images: int) -> tuple[dict, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "spade_cli",
            "quickstart",
            "--images",
            str(images),
            "--seed",
            str(seed),
            "--json",
            "--quiet",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout), time.perf_counter() - began


if __name__ == "__main__":
    main()
