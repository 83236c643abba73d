"""Judging predictions, image by image, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from spade.core.errors import SpadeError, given
from spade.core.progress import Reporter
from spade.core.text import counted
from spade.data.psg import Record
from spade.data.samples import annotated_planes
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import ImageError, Predictions
from spade.evaluation.scoring.protocols import Judgement


@dataclass
class Scored:
    """An evaluator that has judged all images; what was wrong with annotated maps, whose images are left out, and with
    predictions, which count as missing.
    """

    evaluator: Evaluator
    skipped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What was taken as it is, though it looks wrong: segments that have no pixel in their map."""
        sentences = []
        for place, whose in enumerate(("predicted", "annotated")):
            counts = [judged.without_pixel[place] for judged in self.evaluator.judged]
            if images := sum(count > 0 for count in counts):
                segments = counted(sum(counts), f"{whose} segment")
                have = "has" if sum(counts) == 1 else "have"
                sentences.append(f"{segments} in {counted(images, 'image')} {have} no pixel in the panoptic png")
        return sentences


def score(
    evaluator: Evaluator,
    records: Sequence[Record],
    predictions: Predictions,
    report: Reporter,
    lenient: bool = False,
    workers: int = 0,
) -> Scored:
    """Judge these records; ``workers`` threads, 0 for one a core.

    Raises SpadeError for a bad prediction unless ``lenient``, where no annotated map can be read, and where no image
    has a prediction.
    """
    scored = Scored(evaluator)
    judgements = _judged(evaluator, records, predictions, workers or cores())
    for judged, trouble in report.track(judgements, "eval: score", len(records)):
        if judged is None:
            scored.skipped.append(str(trouble))
            continue
        if trouble is not None:
            if not lenient:
                raise trouble
            scored.problems.append(str(trouble))
        evaluator.judged.append(judged)
    if not evaluator.judged:
        raise SpadeError(f"{scored.skipped[0]} (nor can any other image of this split be compared with its annotation)")
    if not any(judged.predicted for judged in evaluator.judged):
        causes = [*scored.problems, *scored.skipped]
        why = f" ({causes[0]})" if causes else ""
        count = f"none of the {len(records)} images of this split"
        raise SpadeError(f"{predictions.path}: has a prediction for {count}{why}; try another {given('split')}.")
    return scored


Outcome = tuple[Judgement | None, SpadeError | None]


def _judged(
    evaluator: Evaluator, records: Sequence[Record], predictions: Predictions, workers: int
) -> Iterator[Outcome]:
    """Judgements in image order, made by a few threads: decoding pngs, most of the work, lets other threads run."""
    if workers == 1:
        yield from (_one(evaluator, record, predictions) for record in records)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for record in records:
                waiting.append(pool.submit(_one, evaluator, record, predictions))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one(evaluator: Evaluator, record: Record, predictions: Predictions) -> Outcome:
    """One image's judgement; None where its annotated map is bad; with an error where its prediction is, as if
    missing.
    """
    try:
        ids = annotated_planes(evaluator.dataset, record) if evaluator.needs_masks else None
    except SpadeError as error:
        return None, error
    try:
        return evaluator.judge(record, ids, predictions.get(record)), None
    except ImageError as error:
        trouble = SpadeError(f"{predictions.path}: image {record.image_id}: {error}.")
    except SpadeError as error:
        trouble = error
    return evaluator.judge(record, ids, None), trouble
