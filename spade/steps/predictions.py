"""A model's predictions on a data set, for evaluation: an exchange file without graphs and figures, made once for all
protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.device import pick_device, pick_dtype
from spade.core.errors import SpadeError
from spade.core.workspace import Artifact, ArtifactWriter
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_numbers, checked_image
from spade.evaluation.formats.exchange_writer import ExchangeWriter
from spade.models.checkpoint import model_fingerprint, model_nodes
from spade.models.load import load, load_relation_predictor
from spade.steps.common import Run, tell_skipped
from spade.steps.config import EvalConfig
from spade.steps.select_model import refuse_the_others, select_model
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph import Prediction, SceneGraph, Segment

VERSION = 2
Answer = Callable[[Record], tuple[Prediction, bool]]  # and whether it has a map of its own


def predict_dataset(config: EvalConfig, dataset: Dataset, records: list[Record], run: Run) -> Artifact:
    """The current model's predictions on these records. A model of labels and boxes opens neither pictures nor maps."""
    device, given = pick_device(config.device), config.mode == "predcls"
    folder = select_model(config.model, run, ("diffusion", "layout") if given else ("diffusion",))
    looks = model_nodes(folder) == "diffusion"
    refuse_the_others(model_nodes(folder), config.balance, config.fusion, config.novel_odds)
    if not looks and not given:
        raise SpadeError(
            f"--mode {config.mode}: {folder} relates segments that are given, and finds none; use --mode predcls with "
            "it."
        )
    prints = {
        "data": dataset.fingerprint(records, pictures=looks, panoptic=given and looks),
        "model": model_fingerprint(folder),
    }
    keys: dict[str, Any] = {
        "mode": config.mode,
        "split": config.split,
        "limit": config.limit,
        "device": str(device),
        "dtype": pick_dtype(config.dtype, device),
        "fusion": config.fusion,
        "novel_odds": config.novel_odds,
    }
    keys |= {} if looks else {"balance": config.balance}
    draft = run.workspace.draft("eval-predictions", VERSION, keys, fingerprints=prints, force=run.force)
    if draft.cached:
        return Artifact(draft.step, draft.key, draft.path, draft.manifest)
    answer, facts = (_looking if looks else _relating)(config, dataset, folder, str(device))
    draft.begin()
    try:
        problems = _write(draft, dataset, records, answer, facts, run)
        tell_skipped(problems, "pictures", run.report, config.strict)
        return draft.finish({"model": str(folder), "skipped_pictures": problems})
    finally:
        draft.release()


def _write(
    draft: ArtifactWriter, dataset: Dataset, records: list[Record], answer: Answer, facts: dict[str, Any], run: Run
) -> list[str]:
    """The exchange file, picture by picture; what was wrong with those that were left out."""
    exchange, problems = ExchangeWriter(draft, dataset, facts), []
    for number, record in enumerate(run.report.track(records, "eval: predict")):
        name = f"{number:06d}"
        if exchange.has(name):
            continue
        try:
            prediction, mapped = answer(record)
        except SpadeError as error:
            problems.append(str(error))
            continue
        png = f"panoptic/{name}.png" if mapped else None
        if png is not None:
            write_panoptic(draft.file(png), prediction.graph.panoptic)
        exchange.add(name, record, prediction, png)
    if exchange.empty:
        draft.abandon()
        raise SpadeError(problems[0])
    exchange.finish()
    return problems


def _looking(config: EvalConfig, dataset: Dataset, folder: Path, device: str) -> tuple[Answer, dict[str, Any]]:
    model = load(folder, device, config.dtype, config.fusion, config.novel_odds)

    def answer(record: Record) -> tuple[Prediction, bool]:
        picture = checked_image(dataset, record)
        if config.mode != "predcls":
            return model.predict(picture, dataset.vocabulary), True
        categories = [segment.category for segment in record.segments]
        return model.relate(
            model.encode_segments(picture, annotated_numbers(dataset, record), categories, dataset.vocabulary)
        ), False

    return answer, model.facts


def _relating(config: EvalConfig, dataset: Dataset, folder: Path, device: str) -> tuple[Answer, dict[str, Any]]:
    relater = load_relation_predictor(folder, device, config.balance)
    return lambda record: (relater.predict(annotated_graph(dataset, record), dataset.vocabulary), False), relater.facts


def annotated_graph(dataset: Dataset, record: Record) -> SceneGraph:
    """A record's segments as a graph without relations; no map is opened, so its own is void."""
    names, segments = dataset.classes, []
    for s in record.segments:
        x1, y1, x2, y2 = map(int, s.bbox)
        segments.append(Segment(s.id, names[s.category], s.category, s.is_thing, 1.0, (x1, y1, x2, y2), s.area))
    void = np.zeros((record.height, record.width), np.uint32)
    return SceneGraph(
        record.file_name, record.width, record.height, tuple(segments), (), names, dataset.predicates, void
    )
