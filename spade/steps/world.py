"""The embedded world as a data set on disk."""

from __future__ import annotations

import time
from pathlib import Path

from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash
from spade.steps.common import Run, StepResult, no_source
from spade.steps.results import WorldResult


def run(
    out: Path, images: int, size: tuple[int, int], seed: int, run: Run, setting: str = "closed"
) -> StepResult[WorldResult]:
    """Write a world of ``size`` (width, height), or find the very same one there."""
    from spade.world.dataset import SETTINGS, VERSION, write_world

    no_source(run, "spade world")
    began = time.perf_counter()
    if setting not in SETTINGS:
        raise SpadeError(f"{given('setting', setting)}: use {', '.join(SETTINGS)}.")
    made = write_world(out, images, size, seed, setting, run.force, lambda numbers: run.report.track(numbers, "world"))
    result = WorldResult(images, images // 5, size[0], size[1], seed, setting)
    key = canonical_hash(result.to_json() | {"world_version": VERSION})[:12]
    return StepResult("world", key, out, not made, round(time.perf_counter() - began, 3), result)
