"""What calibration and training share: which images are learned from, which are watched, and how a training is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spade.data.psg import Record, watched_part
from spade.diffusion.student import Student
from spade.steps.common import Run
from spade.training import Optimisation, Row, fit, grouped_batches, kept
from spade.workspace import STATE, Draft


class TrainingImages:
    """Records in one list: first those that are learned from, then those that are watched.

    A single record is both; more are split by ``watched_part``.
    """

    def __init__(self, student: Student, records: Sequence[Record]) -> None:
        learned, watched = watched_part(list(records))
        self.records = [*learned, *watched] if watched else [*learned, *learned]
        self.learned = range(len(learned))
        self.watched = range(len(learned), len(self.records))
        self._sizes = [student.size_for(record.width, record.height) for record in self.records]

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) at which a record's picture is seen."""
        return self._sizes[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The learned images' indices in batches of one size each."""
        return grouped_batches([self.size(i) for i in self.learned], batch_size, seed, epoch)


def train(
    draft: Draft,
    run: Run,
    batches: Callable[[int], list[list[int]]],
    parameters: Mapping[str, torch.nn.Parameter],
    options: Optimisation,
    losses: Callable[[Sequence[int]], Mapping[str, Tensor]],
    watch: Callable[[], Row],
    better: str,
    random_start: bool = False,
) -> tuple[list[Row], Row]:
    """Fit with the state in the draft, on the ``batches`` of each epoch; returns the curves and the row that was kept."""
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
        run.report.say("no epoch bettered the untrained start on the watched images: this training has learned nothing that they show")
    return curves, best
