"""How long commands take before they do anything: help, a typo, a cached result, a first prediction.

Whole processes, in turn, in one run; ratios are of two processes of the same round. ``tiny_over_imports`` compares a
first prediction with what importing the libraries takes that the tiny model is made of.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.common.results import Results, arguments, spread
from spade.world.annotation import make_sample

SPADE = ["-m", "spade_cli"]
IMPORTS = (
    "import torch; from diffusers import AutoencoderKL, UNet2DConditionModel; "
    "from transformers import Mask2FormerForUniversalSegmentation; import open_clip"
)
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "spade --help": [*SPADE, "--help"],
    "spade predict --help": [*SPADE, "predict", "--help"],
    "spade status": [*SPADE, "status"],
    "spade predict, a file that is not there": [*SPADE, "predict", "scenes.png"],
    "spade predict, cached": [*SPADE, "predict", "scene.png"],
    "import torch": ["-c", "import torch"],
    "spade predict --segments": [*SPADE, "predict", "scene.png", "--segments", "found/scene.json", "--force"],
    "import torch, diffusers, transformers, open_clip": ["-c", IMPORTS],
    "spade predict": [*SPADE, "predict", "scene.png", "--force"],
}


def main() -> None:
    """Each command in turn, several rounds."""
    options = arguments(__doc__ or "")
    results = Results("startup", options, ())
    rounds = 2 if options.quick else 7
    if not results.data["rows"]:
        times: dict[str, list[float]] = {name: [] for name in COMMANDS}
        with tempfile.TemporaryDirectory() as place:
            Image.fromarray(make_sample(8_500, 0).image).save(Path(place) / "scene.png")
            made = [sys.executable, *SPADE, "predict", "scene.png", "--output", "found", "--quiet"]
            subprocess.run(made, cwd=place, check=True)
            for _ in range(rounds):
                for name, command in COMMANDS.items():
                    began = time.perf_counter()
                    done = subprocess.run([sys.executable, *command], cwd=place, capture_output=True, check=False)
                    times[name].append(time.perf_counter() - began)
                    assert done.returncode == (2 if "not there" in name else 0), done.stderr
        for name, own in times.items():
            results.add({"command": name}, {"seconds": spread(own), "times a bare python": spread(_over(times, name))})
        median = {name: statistics.median(own) for name, own in times.items()}
        results.headline(
            help_s=round(median["spade --help"], 2),
            status_s=round(median["spade status"], 2),
            typo_s=round(median["spade predict, a file that is not there"], 2),
            cached_s=round(median["spade predict, cached"], 2),
            segments_over_torch=round(statistics.median(_over(times, "spade predict --segments", "import torch")), 2),
            tiny_over_imports=round(
                statistics.median(_over(times, "spade predict", "import torch, diffusers, transformers, open_clip")),
                2,
            ),
        )
    results.show(options)


def _over(times: dict[str, list[float]], name: str, other: str = "python -c pass") -> list[float]:
    """Ratios, round by round."""
    return [mine / theirs for mine, theirs in zip(times[name], times[other], strict=True)]


if __name__ == "__main__":
    main()
