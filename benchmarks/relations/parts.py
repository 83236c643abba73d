"""Stage 2's metrics: recall by parts of the annotated triplets, panoptic quality by parts of the names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from spade.data.psg import Dataset
from spade.data.samples import annotated_ids
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import FAR, Facts, part, positional_predicates
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.quality import Quality
from spade.evaluation.scoring.recall import Recalls
from spade.world.dataset import novel_names

AT = (5, 10, 20, 50)
SETTING = {"names": "all", "range": "all", "group": "all", "context": "all"}
PARTS: tuple[dict[str, str], ...] = (
    {},
    {"names": "base"},
    {"names": "novel"},
    {"range": "near"},
    {"range": "far"},
    {"group": "positional"},
    {"group": "other"},
    {"context": "needed"},
    {"context": "not needed"},
)


def measured(
    dataset: Dataset, setting: str, mode: str, predict: Callable[[int], PredictedImage]
) -> list[tuple[dict[str, str], dict]]:
    """Metrics of each part, in percent, on the held-out scenes; ``predict`` answers for the n-th of them."""
    evaluator = Evaluator(dataset, at=AT, mode=mode)
    records = dataset.split("test")
    for index, record in enumerate(records):
        evaluator.add(record, annotated_ids(dataset, record) if mode == "sgdet" else None, predict(index))
    recalls = Recalls([j for j in evaluator.judged if j.record.relations], evaluator.rules, len(dataset.predicates), AT)
    facts, needed = Facts.of(recalls), _needed(dataset, recalls)
    rows = []
    for own in PARTS:
        chosen = _chosen(own, setting, dataset, facts, needed)
        if chosen is None or not chosen.any():
            continue
        metrics = part(recalls, chosen, sorted(set(facts.predicate[chosen].tolist())))
        metrics = {name: metrics[name] for k in AT for name in (f"R@{k}", f"mR@{k}")} | {
            "triplets": metrics["triplets"] / 100
        }
        if not own:
            others = recalls.others()
            metrics |= {name: others[name] for name in (f"PR@{k}" for k in AT)}
            metrics |= _quality(evaluator, dataset, setting) if mode == "sgdet" else {}
        rows.append((SETTING | own, {name: None if value is None else 100 * value for name, value in metrics.items()}))
    return rows


def _chosen(
    own: Mapping[str, str], setting: str, dataset: Dataset, facts: Facts, needed: np.ndarray
) -> np.ndarray | None:
    """Which triplets (T,) belong to a part; None where this setting does not know it."""
    if not own:
        return np.ones(len(facts.predicate), bool)
    ((kind, value),) = own.items()
    if kind == "names":
        objects, predicates = novel_names(setting)
        if not predicates:
            return None
        new = np.array([name in objects for name in dataset.classes], bool)
        novel = (
            np.array([name in predicates for name in dataset.predicates])[facts.predicate]
            | new[facts.subject]
            | new[facts.object]
        )
        return novel if value == "novel" else ~novel
    if kind == "range":
        return facts.distance > FAR if value == "far" else facts.distance <= FAR
    if kind == "group":
        positional = np.isin(np.array(dataset.predicates)[facts.predicate], sorted(positional_predicates()))
        return positional if value == "positional" else ~positional
    return needed if value == "needed" else ~needed


def _needed(dataset: Dataset, recalls: Recalls) -> np.ndarray:
    """Whether each triplet (T,) changes or vanishes without some third segment."""
    flags = _context(dataset.source)
    images = [judged.record.image_id for judged in recalls.judged]
    return np.array(
        [flags[images[i], *triple] for i, triple in zip(recalls.image, recalls.triples.tolist(), strict=True)], bool
    )


@cache
def _context(source: Path) -> dict[tuple, bool]:
    records = json.loads(source.read_text("utf-8"))["data"]
    return {
        (record["image_id"], *triple): flag
        for record in records
        for triple, flag in zip(record["relations"], record["needs_context"], strict=True)
    }


def _quality(evaluator: Evaluator, dataset: Dataset, setting: str) -> dict[str, float | None]:
    """PQ over all names, base ones, novel ones."""
    quality = [j.quality for j in evaluator.judged if j.quality is not None]
    rows = Quality(quality, len(dataset.classes), len(dataset.things)).per_class()
    per_class = dict(zip(dataset.classes, rows, strict=True))
    novel = novel_names(setting)[0]
    out: dict[str, float | None] = {}
    for name, members in (("PQ", set(dataset.classes)), ("PQ base", set(dataset.classes) - novel), ("PQ novel", novel)):
        values = [row["PQ"] for c, row in per_class.items() if c in members and row is not None]
        out[name] = float(np.mean(values)) if values else None
    return out
