"""The training loop with an artifact behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spade.core.artifact import STATE, ArtifactWriter
from spade.core.files import write_bytes, write_json_lines
from spade.export.plots import curves_png
from spade.steps.common import Run
from spade.training.config import Schedule
from spade.training.loop import Row, fit, kept


def fit_artifact(
    writer: ArtifactWriter,
    run: Run,
    batches: Callable[[int], list[list[int]]],
    parameters: Mapping[str, torch.nn.Parameter],
    schedule: Schedule,
    losses: Callable[[Sequence[int]], Mapping[str, Tensor]],
    validate: Callable[[], Row],
    better: str,
    random_start: bool = False,
) -> tuple[Row, Row]:
    """Fit with the state in the artifact, on the ``batches`` of each epoch, and write the curves; returns the rows of
    the start and of what was kept.
    """
    curves = fit(
        parameters,
        schedule,
        batches,
        losses,
        validate,
        better,
        writer.file(STATE),
        {"key": writer.key},
        lambda steps, done, total: run.report.track(steps, writer.step, total=total, done=done),
        run.report.say,
        random_start,
    )
    best = kept(curves, better, random_start)
    if best is curves[0]:
        run.report.say("no epoch bettered the start on the validation images, so the start is kept")
    elif best[better] <= curves[0][better]:
        run.report.say(
            "no epoch bettered the untrained start on the validation images: "
            "this training has learned nothing that they show"
        )
    write_json_lines(writer.file("curves.jsonl"), curves)
    write_bytes(writer.file("curves.png"), curves_png(curves))
    return curves[0], best
