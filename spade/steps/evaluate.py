"""Step 5: a model, or predictions of any system, against annotations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from spade.config import EvalConfig
from spade.data.codecs import write_panoptic
from spade.data.psg import Dataset, Record
from spade.errors import SpadeError
from spade.evaluation.predictions import PredictedImage, Predictions, exchange_row
from spade.evaluation.protocols import OpenPsg
from spade.files import read_json, write_json
from spade.model import load, model_fingerprint, pick_device
from spade.steps.common import Run, StepResult, already_there, choose_records, just_made, open_dataset, tell_skipped
from spade.steps.pictures import readable, sized_picture, true_map
from spade.steps.predict import choose_model
from spade.workspace import Draft, keyed

STEP, VERSION = "eval", 1


def run(config: EvalConfig, run: Run) -> StepResult:
    """Evaluate by the openpsg protocol, or find it done."""
    device = pick_device(config.device)
    config = replace(config, device=str(device))
    dataset = _dataset(config, run)
    records = choose_records(dataset, config.split, config.limit, with_relations=False)
    prints = {"data": dataset.fingerprint(records, with_panoptic=True)}
    if config.predictions is not None:
        if not config.predictions.is_file():
            raise SpadeError(f"{config.predictions}: no such prediction file; write one in the exchange format (docs/formats.md).")
        prints["predictions"] = Predictions(config.predictions, dataset).fingerprint()  # refuses a bad file before anything is written
        model_folder = None
    else:
        model_folder = choose_model(config.model, run)
        prints["model"] = model_fingerprint(model_folder)
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        return already_there(draft, config.strict)
    records, unusable = _with_truth(dataset, records, run, config.strict)
    document, skipped = config.predictions, list[str]()
    draft.begin()
    try:
        if model_folder is not None:
            document, skipped = _predict(draft, dataset, records, model_folder, config, run)
        assert document is not None
        figures = score(dataset, records, Predictions(document, dataset), config, run)
        figures["skipped_pictures"] = unusable + skipped
        result = {
            "data": str(dataset.source.resolve()),
            "model": str(model_folder) if model_folder else None,
            "predictions": str(document.resolve()),
            **figures,
        }
        write_json(draft.file("report.json"), result)
        return just_made(draft.finish(result))
    except SpadeError:
        if not draft.file("parts").is_dir():  # pictures that were predicted are kept for the next run
            draft.abandon()
        raise
    finally:
        draft.release()


def _dataset(config: EvalConfig, run: Run) -> Dataset:
    """The named data set, or the one the newest model was trained on."""
    if config.data is not None:
        return open_dataset(config.data, config.images, run.report, config.strict)
    newest = run.workspace.newest("train-relations", run.source)
    if newest is None:
        raise SpadeError("no data set named and nothing trained in this workspace; for example: spade eval data/psg")
    source = newest.manifest["result"]
    return open_dataset(Path(source["data"]), config.images or Path(source["images_root"]), run.report, config.strict)


def _with_truth(dataset: Dataset, records: list[Record], run: Run, strict: bool) -> tuple[list[Record], list[str]]:
    """Records whose annotated panoptic png can be read and fits, and what is wrong with the others."""
    whole, problems = readable(records, lambda record: true_map(dataset, record), run.report, "eval: check")
    if not whole:
        raise SpadeError(f"{problems[0]} (nor can any other image of this split be compared with its annotation)")
    tell_skipped(problems, "images", run.report, strict)
    return whole, problems


def _predict(
    draft: Draft, dataset: Dataset, records: list[Record], model_folder: Path, config: EvalConfig, run: Run
) -> tuple[Path, list[str]]:
    """Write the model's predictions as an exchange document; picture by picture, so a killed run goes on.

    Also what was wrong with the pictures that could not be used.
    """
    model = load(model_folder, config.device, config.dtype)
    rows, problems = [], []
    for number, record in enumerate(run.report.track(records, "eval: predict")):
        part = draft.file(f"parts/{number:06d}.json")
        if not part.is_file():
            try:
                picture = sized_picture(dataset, record)
            except SpadeError as error:
                problems.append(str(error))
                continue
            prediction = model.predict(picture, dataset.vocabulary)
            png = f"panoptic/{number:06d}.png"
            write_panoptic(draft.file(png), prediction.graph.panoptic)
            write_json(part, exchange_row(record, prediction, png))
        rows.append(read_json(part, "part of this evaluation", "run again with --force"))
    if not rows:
        raise SpadeError(problems[0])
    tell_skipped(problems, "pictures", run.report, config.strict)
    document = draft.file("predictions.json")
    write_json(document, {"version": 1, "predictions": rows})
    for part in draft.file("parts").iterdir():
        part.unlink()
    draft.file("parts").rmdir()
    return document, problems


def score(dataset: Dataset, records: Iterable[Record], predictions: Predictions, config: EvalConfig, run: Run) -> dict[str, Any]:
    """Figures of a prediction document on these records. Without ``--lenient`` a bad image is an error."""
    protocol = OpenPsg(dataset.classes, len(dataset.things), dataset.predicates, config.at)
    problems = []
    for record in run.report.track(list(records), "eval: score"):
        predicted: PredictedImage | None = None
        try:
            predicted = predictions.get(record)
        except SpadeError as error:
            if not config.lenient:
                raise
            problems.append(str(error))
        protocol.add(record, true_map(dataset, record), predicted)
    tell_skipped(problems, "images", run.report, strict=False)
    return protocol.figures() | {"problems": problems}
