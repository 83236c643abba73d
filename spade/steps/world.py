"""The embedded world as a data set on disk."""

from __future__ import annotations

import time
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.files import canonical_hash
from spade.steps.common import Run, StepResult, no_source
from spade.world.dataset import SETTINGS, VERSION, write_world


def run(out: Path, images: int, size: tuple[int, int], seed: int, run: Run, setting: str = "closed") -> StepResult:
    """Write a world, or find the very same one there."""
    no_source(run, "spade world")
    began = time.perf_counter()
    if setting not in SETTINGS:
        raise SpadeError(f"--setting {setting}: use {', '.join(SETTINGS)}.")
    made = write_world(out, images, size, seed, setting, run.force, lambda numbers: run.report.track(numbers, "world"))
    facts = {
        "images": images,
        "test_images": images // 5,
        "width": size[0],
        "height": size[1],
        "seed": seed,
        "setting": setting,
    }
    key = canonical_hash(facts | {"world_version": VERSION})[:12]
    return StepResult("world", key, out, not made, round(time.perf_counter() - began, 3), facts)
