"""Step 5: a model, or predictions of any system, against annotations."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.artifact import Artifact, keyed
from spade.core.errors import SpadeError, given
from spade.core.files import write_json, write_json_lines, write_text
from spade.evaluation.formats.sources import OWN, open_predictions
from spade.evaluation.report.page import page
from spade.evaluation.scoring.protocols import MODES, PROTOCOLS
from spade.models.checkpoint import newest_model, read_model
from spade.steps import compare
from spade.steps.common import (
    Run,
    StepResult,
    cached_result,
    choose_records,
    finished_result,
    open_dataset,
)
from spade.steps.config import EvalConfig
from spade.steps.judge import Lists, data_print, judge, open_vocabulary, protocol_of
from spade.steps.results import EvalResult, PredictionsResult, TrainedOn

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record

STEP, VERSION = "eval", 6


def run(config: EvalConfig, run: Run) -> StepResult[EvalResult]:
    """Evaluate by one of the field's protocols, or find it done."""
    _refuse_unknown(config)
    began = time.perf_counter()
    dataset = _dataset(config, run)
    config = replace(config, protocol=protocol_of(config, dataset))
    records = choose_records(dataset, config.split, config.limit, with_relations=False)
    lists = Lists.read(config, dataset)
    if config.compare:
        return compare.run(config, dataset, records, lists, run, (STEP, VERSION))
    inputs: dict[str, str] = {}
    path, source, unusable = config.predictions, None, list[str]()
    if path is None:
        source = _own_predictions(config, dataset, records, run)
        path, unusable = source.path / OWN, PredictionsResult.of(source).skipped_images
        inputs["predictions"] = source.key
    # Refuses a bad file before anything is written.
    predictions = open_predictions(path, dataset, config.mode == "predcls", config.lenient)
    prints = {"data": data_print(config, dataset, records, run), **lists.fingerprints(config)}
    if source is None:
        prints["predictions"] = predictions.fingerprint()
    writer = run.workspace.writer(STEP, VERSION, keyed(config), inputs, prints, run.force)
    if writer.cached:
        return cached_result(EvalResult, writer, config.strict)
    scored = judge(config, dataset, records, predictions, run)
    evaluator = scored.evaluator
    result = {
        "data": str(dataset.source.resolve()),
        "model": None if source is None else PredictionsResult.of(source).model,
        "predictions": str(path.resolve()),
        "split_list": lists.split.name if lists.split else None,
        **evaluator.summary(lists.split, lists.zero_shot, config.seed),
        "boxes": not dataset.has_masks,
        "open_vocabulary": None,
        "skipped_images": unusable + scored.skipped,
        "problems": predictions.problems + scored.problems,
        "notes": scored.notes(),
        "report": str(writer.file("report.html").resolve()),
    }
    if lists.split is not None:
        model = None if source is None else read_model(Path(PredictionsResult.of(source).model))
        result["open_vocabulary"] = open_vocabulary(
            config, dataset, records, lists.split, predictions, result, run, None if model is None else model.vocabulary
        )
    writer.begin()
    try:
        write_json(writer.file("report.json"), result)
        write_json_lines(writer.file("per_image.jsonl"), evaluator.per_image())
        write_text(writer.file("report.html"), page(result, evaluator, predictions))
        done = finished_result(EvalResult, writer.finish(result))
        return replace(done, seconds=round(time.perf_counter() - began, 3))  # our model's predictions included
    finally:
        writer.release()


def named(paths: tuple[Path, ...], compare: bool) -> tuple[Path | None, tuple[Path, ...]]:
    """The data set and the prediction files among what was named: with ``compare`` the data set, if any, comes
    first.
    """
    from spade.data.readers import is_dataset

    if not compare:
        if len(paths) > 1:
            raise SpadeError(
                f"{paths[1]}: one data set at a time; name prediction files with {given('predictions')}, or "
                f"several with {given('compare')}."
            )
        return (paths[0] if paths else None), ()
    if len(paths) > 0 and is_dataset(paths[0]):
        return paths[0], paths[1:] or (Path(),)
    return None, paths or (Path(),)


def _refuse_unknown(config: EvalConfig) -> None:
    if config.protocol is not None and config.protocol not in PROTOCOLS:
        raise SpadeError(f"{given('protocol', config.protocol)}: use {', '.join(PROTOCOLS)}.")
    if config.mode not in MODES:
        raise SpadeError(f"{given('mode', config.mode)}: use {' or '.join(MODES)}.")


def _dataset(config: EvalConfig, run: Run) -> Dataset:
    """The named data set, or the one the newest model was trained on."""
    if config.data is not None:
        return open_dataset(config.data, config.images, run.report, config.strict)
    newest = newest_model(run.workspace, ("image", "boxes") if config.mode == "predcls" else ("image",), run.source)
    if newest is None:
        raise SpadeError("no data set named and nothing trained in this workspace; for example: spade eval data/psg")
    trained = TrainedOn.of(newest)
    if not Path(trained.data).exists():
        raise SpadeError(
            f"{trained.data}: this data set, on which the newest model was trained, is gone; name it anew."
        )
    return open_dataset(Path(trained.data), config.images or Path(trained.images_root), run.report, config.strict)


def _own_predictions(config: EvalConfig, dataset: Dataset, records: list[Record], run: Run) -> Artifact:
    """The current model's predictions, made once and used by every protocol."""
    from spade.steps.predict_dataset import predict_dataset

    return predict_dataset(config, dataset, records, run)
