"""Step 5: a model, or predictions of any system, against annotations."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.files import write_json, write_json_lines, write_text
from spade.core.workspace import Artifact, keyed, nodes_of
from spade.data.psg import Dataset, Record
from spade.data.psg_reader import is_dataset
from spade.evaluation.formats.sources import OWN, open_predictions
from spade.evaluation.report.page import page
from spade.evaluation.scoring.groups import read_split, read_zero_shot
from spade.evaluation.scoring.protocols import MODES, PROTOCOLS
from spade.evaluation.scoring.runner import Lists, data_print, score
from spade.steps import compare
from spade.steps.common import Run, StepResult, cached_result, choose_records, finished_result, open_dataset
from spade.steps.config import EvalConfig

STEP, VERSION = "eval", 2


def run(config: EvalConfig, run: Run) -> StepResult:
    """Evaluate by one of the field's protocols, or find it done."""
    _known(config)
    began = time.perf_counter()
    dataset = _dataset(config, run)
    records = choose_records(dataset, config.split, config.limit, with_relations=False)
    lists = Lists(
        read_split(config.split_list, dataset) if config.split_list else None,
        read_zero_shot(config.zero_shot, dataset) if config.zero_shot else None,
    )
    if config.compare:
        return compare.run(config, dataset, records, lists, run, (STEP, VERSION))
    inputs: dict[str, str] = {}
    path, source, unusable = config.predictions, None, list[str]()
    if path is None:
        source, unusable = _own_predictions(config, dataset, records, run)
        path = source.path / OWN
        inputs["eval-predictions"] = source.key
        config = replace(config, **{name: source.manifest["config"][name] for name in ("device", "dtype")})
    predictions = open_predictions(
        path, dataset, config.mode == "predcls", config.lenient
    )  # refuses a bad file before anything is written
    prints = {"data": data_print(config, dataset, records), **lists.fingerprints(config)}
    if source is None:
        config = replace(config, device="none", dtype="none")  # no model runs
        prints["predictions"] = predictions.fingerprint()
    draft = run.workspace.draft(STEP, VERSION, keyed(config), inputs, prints, run.force)
    if draft.cached:
        return cached_result(draft, config.strict)
    evaluator, skipped, problems = score(config, dataset, records, predictions, run)
    result = {
        "data": str(dataset.source.resolve()),
        "model": None if source is None else source.manifest["result"]["model"],
        "predictions": str(path.resolve()),
        "split_list": lists.split.name if lists.split else None,
        **evaluator.summary(lists.split, lists.zero_shot, config.seed),
        "skipped_pictures": unusable + skipped,
        "problems": predictions.problems + problems,
        "report": str(draft.file("report.html").resolve()),
    }
    draft.begin()
    try:
        write_json(draft.file("report.json"), result)
        write_json_lines(draft.file("per_image.jsonl"), evaluator.per_image())
        write_text(draft.file("report.html"), page(result, evaluator, predictions))
        done = finished_result(draft.finish(result))
        return replace(done, seconds=round(time.perf_counter() - began, 3))  # our model's predictions included
    finally:
        draft.release()


def named(paths: tuple[Path, ...], compare: bool) -> tuple[Path | None, tuple[Path, ...]]:
    """The data set and the prediction files among what was named: with ``compare`` the data set, if any, comes
    first.
    """
    if not compare:
        if len(paths) > 1:
            raise SpadeError(
                f"{paths[1]}: one data set at a time; name prediction files with --predictions, or several with "
                "--compare."
            )
        return (paths[0] if paths else None), ()
    if len(paths) > 0 and is_dataset(paths[0]):
        return paths[0], paths[1:] or (Path(),)
    return None, paths or (Path(),)


def _known(config: EvalConfig) -> None:
    if config.protocol not in PROTOCOLS:
        raise SpadeError(f"--protocol {config.protocol}: use {', '.join(PROTOCOLS)}.")
    if config.mode not in MODES:
        raise SpadeError(f"--mode {config.mode}: use {' or '.join(MODES)}.")


def _dataset(config: EvalConfig, run: Run) -> Dataset:
    """The named data set, or the one the newest model was trained on."""
    if config.data is not None:
        return open_dataset(config.data, config.images, run.report, config.strict)
    kinds = ("diffusion", "layout") if config.mode == "predcls" else ("diffusion",)
    newest = run.workspace.newest("train-relations", run.source, fits=lambda artifact: nodes_of(artifact) in kinds)
    if newest is None:
        raise SpadeError("no data set named and nothing trained in this workspace; for example: spade eval data/psg")
    source = newest.manifest["result"]
    return open_dataset(Path(source["data"]), config.images or Path(source["images_root"]), run.report, config.strict)


def _own_predictions(
    config: EvalConfig, dataset: Dataset, records: list[Record], run: Run
) -> tuple[Artifact, list[str]]:
    """The current model's predictions, made once and used by every protocol; and what was wrong with pictures left
    out.
    """
    from spade.steps.predictions import predict_dataset  # loads torch, which prediction files do without

    artifact = predict_dataset(config, dataset, records, run)
    return artifact, list(artifact.manifest["result"]["skipped_pictures"])
