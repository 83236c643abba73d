"""Photographs to begin with, and segments of them."""

from __future__ import annotations

import time
from pathlib import Path

from spade.core.errors import SpadeError
from spade.steps.common import Run, StepResult, no_source
from spade.steps.results import ExampleResult


def run(out: Path, run: Run) -> StepResult[ExampleResult]:
    """Write example photographs with segments that were traced by hand into a folder."""
    from spade.data.example_photos import SEGMENTS, TRACED, write_examples

    no_source(run, "spade example")
    began = time.perf_counter()
    try:
        names = write_examples(out)
    except OSError as error:
        raise SpadeError(f"{out}: cannot be written ({error.strerror}); name another folder.") from None
    photos = [str(out / name) for name in names]
    run.report.say(f"segments: {TRACED}")
    command = f"spade predict {photos[0]} --segments {out / SEGMENTS}"
    result = ExampleResult(photos, str(out / SEGMENTS), TRACED, command)
    return StepResult("example", "-", out, False, round(time.perf_counter() - began, 3), result)
