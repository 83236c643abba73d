"""The training loop with an artifact behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spade.core.workspace import STATE, ArtifactWriter
from spade.steps.common import Run
from spade.training.config import Optimisation
from spade.training.loop import Row, fit, kept


def train(
    draft: ArtifactWriter,
    run: Run,
    batches: Callable[[int], list[list[int]]],
    parameters: Mapping[str, torch.nn.Parameter],
    options: Optimisation,
    losses: Callable[[Sequence[int]], Mapping[str, Tensor]],
    watch: Callable[[], Row],
    better: str,
    random_start: bool = False,
) -> tuple[list[Row], Row]:
    """Fit with the state in the draft, on the ``batches`` of each epoch; returns the curves and the row that was
    kept.
    """
    curves = fit(
        parameters,
        options,
        batches,
        losses,
        watch,
        better,
        draft.file(STATE),
        {"key": draft.key},
        lambda steps, done, total: run.report.track(steps, draft.step, total=total, done=done),
        run.report.say,
        random_start,
    )
    best = kept(curves, better, random_start)
    if best is curves[0]:
        run.report.say("no epoch bettered the start on the watched images, so the start is kept")
    elif best[better] <= curves[0][better]:
        run.report.say(
            "no epoch bettered the untrained start on the watched images: this training has learned nothing that they "
            "show"
        )
    return curves, best
