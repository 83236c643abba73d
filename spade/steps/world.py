"""The embedded world as a data set on disk."""

from __future__ import annotations

import time
from pathlib import Path

from spade.files import canonical_hash
from spade.steps.common import Run, StepResult, no_source
from spade.world.dataset import VERSION, write_world


def run(out: Path, images: int, width: int, height: int, seed: int, run: Run) -> StepResult:
    """Write a world, or find the very same one there."""
    no_source(run, "spade world")
    began = time.perf_counter()
    made = write_world(out, images, width, height, seed, run.force, lambda numbers: run.report.track(numbers, "world"))
    facts = {"images": images, "test_images": images // 5, "width": width, "height": height, "seed": seed}
    key = canonical_hash(facts | {"world_version": VERSION})[:12]
    return StepResult("world", key, out, not made, round(time.perf_counter() - began, 3), facts)
