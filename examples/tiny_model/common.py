"""What the training scripts share: options, progress, the world's scenes as batches."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spade.core.files import write_json_lines
from spade.training.config import Schedule
from spade.training.loop import Row, fit
from spade.world.annotation import WorldSample, make_sample
from spade_cli.console import Console

TRAIN_SEED, VALIDATION_SEED = 1_000, 2_000  # worlds for training and for validation; tests and examples use others


def arguments(
    description: str,
    epochs: int,
    samples: int,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
    **own: str,
) -> argparse.Namespace:
    """The options common to all scripts, those that ``add`` adds, and a script's own switches with their help."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, default=Path("tiny-model"), help="folder of the model being built")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--samples", type=int, default=samples, help="scenes an epoch")
    parser.add_argument(
        "--until", type=int, default=0, help="end after this epoch of the schedule, with the best so far; 0: the last"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, text in own.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    if add is not None:
        add(parser)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    return options


def progress(label: str, end: int | None = None):  # noqa: ANN201 - a closure over the console
    """A progress bar for ``training.fit``; with ``end`` no step from that number on is taken."""
    console = Console()

    def bar(steps: Iterable[int], done: int, total: int) -> Iterator[int]:
        yield from console.track(
            (step for step in steps if end is None or step < end), label, total=end or total, done=done
        )

    return bar


def scenes(seed: int, indices: Iterable[int]) -> list[WorldSample]:
    """World samples at 128 x 128."""
    return [make_sample(seed, index) for index in indices]


def pixels(samples: list[WorldSample]) -> torch.Tensor:
    """Images as (B, 3, 128, 128) in [-1, 1]."""
    stacked = np.stack([sample.image for sample in samples]).astype(np.float32)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2) / 127.5 - 1


@contextmanager
def recorded(options: argparse.Namespace, part: str, epochs: int = 0) -> Iterator[dict[str, object]]:
    """Append to log.jsonl what was trained, how long this run took and what came out; a resumed run adds a line."""
    began, metrics = time.monotonic(), {}
    yield metrics
    line = {
        "part": part,
        "minutes": round((time.monotonic() - began) / 60, 2),
        "epochs": epochs or options.until or options.epochs,
        "schedule": epochs or options.epochs,
        "samples_an_epoch": options.samples,
        "seed": options.seed,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "start": getattr(options, "start", None) is not None,
        "metrics": metrics,
    }
    with open(options.output / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def train_part(
    options: argparse.Namespace,
    part: str,
    model: torch.nn.Module,
    batch: int,
    losses: Callable[[list[int]], Mapping[str, torch.Tensor]],
    validate: Callable[[], Row],
    better: str,
    **optimisation: Any,
) -> list[Row]:
    """Train a whole model on scenes that are new in every epoch; keeps state, log and curves in the output folder.

    losses(numbers): terms for the scenes of these numbers; epoch e holds numbers e * samples to (e + 1) * samples - 1.
    """

    def batches(epoch: int) -> list[list[int]]:
        start = epoch * options.samples
        return [list(range(start + i, start + i + batch)) for i in range(0, options.samples - batch + 1, batch)]

    print(sum(p.numel() for p in model.parameters()), "parameters")
    with recorded(options, part) as metrics:
        curves = fit(
            dict(model.named_parameters()),
            Schedule(epochs=options.epochs, seed=options.seed, warmup_steps=100, **optimisation),
            batches,
            losses,
            validate,
            better,
            options.output / "state" / f"{part}.safetensors",
            {"samples": options.samples},
            progress(part, options.until * (options.samples // batch) or None),
        )
        metrics |= max(curves, key=lambda row: row.get(better, float("-inf")))  # the epoch whose weights are kept
    write_json_lines(options.output / "curves" / f"{part}.jsonl", curves)
    print(curves[-1])
    return curves
