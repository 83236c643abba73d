"""Judging a prediction file, image by image, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.files import sha256_file
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_planes
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import Split
from spade.evaluation.scoring.predicted_image import ImageError, Predictions
from spade.evaluation.scoring.protocols import Judgement
from spade.steps.common import Run, tell_skipped
from spade.steps.config import EvalConfig


@dataclass(frozen=True)
class Lists:
    """The options that name label lists, read."""

    split: Split | None
    zero_shot: frozenset[tuple[int, int, int]] | None

    def fingerprints(self, config: EvalConfig) -> dict[str, str]:
        """What they hold."""
        found = {}
        if config.zero_shot is not None:
            found["zero-shot"] = sha256_file(config.zero_shot)
        if config.split_list is not None:
            path = Path(config.split_list)
            found["split-list"] = sha256_file(path) if path.is_file() else config.split_list
        return found


def data_print(config: EvalConfig, dataset: Dataset, records: list[Record]) -> str:
    """Hash of what of the data set is looked at."""
    return dataset.fingerprint(
        records, pictures=False, panoptic=Evaluator(dataset, config.protocol, config.mode).needs_masks
    )


def score(
    config: EvalConfig, dataset: Dataset, records: list[Record], predictions: Predictions, run: Run
) -> tuple[Evaluator, list[str], list[str]]:
    """Judge these records. Also what was wrong with annotated maps (skipped), and with predictions (``--lenient``: as
    if missing).

    Raises SpadeError for a bad prediction without ``--lenient``, and where no annotated map can be read.
    """
    evaluator = Evaluator(dataset, config.protocol, config.mode, config.at)
    skipped, problems = [], []
    for judged, trouble in run.report.track(
        _judged(config, evaluator, records, predictions), "eval: score", len(records)
    ):
        if judged is None:
            skipped.append(str(trouble))
            continue
        if trouble is not None:
            if not config.lenient:
                raise trouble
            problems.append(str(trouble))
        evaluator.judged.append(judged)
    if not evaluator.judged:
        raise SpadeError(f"{skipped[0]} (nor can any other image of this split be compared with its annotation)")
    if not any(judged.predicted for judged in evaluator.judged):
        why = f" ({problems[0]})" if problems else ""
        count = f"none of the {len(records)} images of this split"
        raise SpadeError(f"{predictions.path}: has a prediction for {count}{why}; try another --split.")
    tell_skipped(skipped, "images", run.report, config.strict)
    tell_skipped(predictions.problems + problems, "predicted images", run.report, strict=False)
    return evaluator, skipped, problems


def _judged(
    config: EvalConfig, evaluator: Evaluator, records: list[Record], predictions: Predictions
) -> Iterator[tuple[Judgement | None, SpadeError | None]]:
    """Judgements in image order, made by a few threads: decoding pngs, most of the work, lets other threads run."""
    workers = config.workers or cores()
    if workers == 1:
        yield from (_one(evaluator, record, predictions) for record in records)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[tuple[Judgement | None, SpadeError | None]]] = deque()
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


def _one(evaluator: Evaluator, record: Record, predictions: Predictions) -> tuple[Judgement | None, SpadeError | None]:
    """One image's judgement; None where its annotated map is bad; with an error where its prediction is, as if it were
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
