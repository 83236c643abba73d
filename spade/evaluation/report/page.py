"""The evaluation as one page: self-contained html, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spade.core.templates import asset, percent, render
from spade.core.text import one_line
from spade.evaluation.report.charts import curve, intervals_chart
from spade.evaluation.report.examples import examples
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.metric_names import (
    RANKED,
    account_rows,
    compared_accounts,
    judged_by,
    open_vocabulary_name,
    trained_on_novel,
)
from spade.evaluation.scoring.predicted_image import Predictions

WORDS = {
    "R": "recall of triplets",
    "mR": "the same, mean over predicates",
    "ngR": "without graph constraint",
    "ng-mR": "without graph constraint, mean over predicates",
    "zR": "triplets unseen in training",
    "ng-zR": "unseen, without graph constraint",
    "PR": "recall of pairs, whatever the predicate",
    "A": "accuracy on the annotated pairs",
}

RULES = {
    "openpsg": (
        "Any row may hit any triplet at mask IoU of at least 0.5; a triplet counts once. Images without a "
        "prediction or without rows are left out; predicates that never occur count 0 in mR."
    ),
    "single-mpo": (
        "One mask an object, one row an ordered pair, segments matched one to one above mask IoU 0.5. "
        "Overlapping masks are merged first. Missing images count 0; annotated copies of a triplet count again."
    ),
    "sgbench": (
        "Each predicted segment stands for the annotated one of its class that it overlaps most (IoU at "
        "least 0.5). Repeated rows are dropped before the cut; missing images count 0."
    ),
    "vg": (
        "Boxes with the +1 pixel convention, IoU at least 0.5; any row may hit any triplet. Images without a "
        "prediction or without rows are left out; predicates that never occur count 0 in mR."
    ),
}


@dataclass(frozen=True)
class Cell:
    """Text in a table, after something ``bold``, with something ``small`` below."""

    text: str
    bold: str = ""
    small: str = ""


@dataclass(frozen=True)
class Table:
    """A head, and rows of cells or plain texts."""

    head: Sequence[Cell | str]
    rows: list[Sequence[Cell | str]] = field(default_factory=list)


def page(result: Mapping[str, Any], evaluator: Evaluator, predictions: Predictions) -> str:
    """The report of one evaluation: ``result`` is what ``--json`` prints."""
    source = Path(result["data"]).parent.name or "data"
    counts = [
        (result["images"], "images counted"),
        (result["skipped"], "left out"),
        (result["without_relations"], "without relations"),
        (result["denominators"]["triplets"], "triplets"),
    ]
    at = evaluator.at
    return render(
        "evaluation.html",
        title=f"{source}, {result['protocol']}",
        style=asset("report.css"),
        heading=f"{source}, {judged_by(result)}",
        rules=RULES[result["protocol"]],
        counts=counts,
        left_out=[*result["skipped_images"], *result["problems"]],
        headline=_headline(result, at),
        quality=_quality(result),
        quality_classes=result["denominators"]["PQ"],
        quality_images=result["denominators"]["PQ_images"],
        found=result["InstR"],
        annotated=result["denominators"]["InstR"],
        account=_account(result["account"], at, result["boxes"]),
        missing=result["account"]["missing"],
        middle=at[len(at) // 2],
        absent=", ".join(one_line(name, 24) for name in result["absent_predicates"]) or "none",
        predicates=_predicates(result, at[len(at) // 2]),
        distance=_distance(result, at),
        groups=_groups(result, at),
        split=result["open_vocabulary"] and result["open_vocabulary"]["split"],
        shown=trained_on_novel(result["open_vocabulary"]),
        open_vocabulary=_open_vocabulary(result["open_vocabulary"], at),
        at=at,
        examples=examples(evaluator, predictions),
        classes=_classes(result),
    )


def comparison_page(result: Mapping[str, Any]) -> str:
    """Several systems side by side: ``result`` is what ``--compare --json`` prints."""
    systems = result["systems"]
    at = [int(name.partition("@")[2]) for name in systems[0] if name.startswith("R@")]
    names = [name for name in systems[0]["ci95"] if all(system.get(name) is not None for system in systems)]
    shared = [name for name in _metric_names(systems[0]) if any(system.get(name) is not None for system in systems)]
    rows: list[Sequence[Cell | str]] = [[word, *(str(s[word]) for s in systems)] for word in ("images", "skipped")]
    rows += [[name, *(_with_interval(s.get(name), s["ci95"].get(name)) for s in systems)] for name in shared]
    differences = [
        (row["name"], row["to"], intervals_chart([(n, row[n]["difference"], row[n]["ci95"]) for n in names if row[n]]))
        for row in result["differences"]
    ]
    middle, account = compared_accounts(systems, result["boxes"])
    shown = [one_line(s["name"], 40) for s in systems]
    return render(
        "comparison.html",
        title=f"{len(systems)} systems compared",
        style=asset("report.css"),
        heading=f"{len(systems)} systems, {result['protocol']}, {result['mode']}",
        rules=RULES[result["protocol"]],
        left_out=[*result["skipped_images"], *(p for s in systems for p in s["problems"])],
        base_and_novel=[
            (n, _open_vocabulary(s.get("open_vocabulary"), at)) for n, s in zip(shown, systems, strict=True)
        ],
        systems=Table(["", *shown], rows),
        middle=middle,
        account=Table(["percent", *shown], [[words, *map(percent, values)] for words, *values in account]),
        differences=differences,
    )


def _metric_names(summary: Mapping[str, Any]) -> list[str]:
    known = {f"{name}@" for name in RANKED}
    return [
        n
        for n in summary
        if (f"{n.split('@')[0]}@" in known and "@" in n) or n == "InstR" or n.split("_")[0] in ("PQ", "SQ", "RQ")
    ]


def _with_interval(value: float | None, span: Sequence[float] | None) -> Cell:
    return Cell(percent(value), small=f"{percent(span[0])} to {percent(span[1])}" if span else "")


def _headline(result: Mapping[str, Any], at: Sequence[int]) -> Table:
    table = Table(["percent", *(f"K = {k}" for k in at), "over"])
    for name in RANKED:
        if any(result.get(f"{name}@{k}") is not None for k in at):
            cells = [_with_interval(result[f"{name}@{k}"], result["ci95"].get(f"{name}@{k}")) for k in at]
            table.rows.append([Cell(WORDS[name], bold=f"{name}@K"), *cells, _over(result, name)])
    for label, part in (("missing images as 0", "strict"), ("known defects mended", "corrected")):
        for name in ("R", "mR"):
            table.rows.append([f"{name}@K, {label}", *(percent(result[part].get(f"{name}@{k}")) for k in at), ""])
    return table


def _account(account: Mapping[str, Any], at: Sequence[int], boxes: bool) -> Table:
    middle = at[len(at) // 2]
    parts = account[f"lost@{middle}"] or {}
    table = Table(["percent", *(f"K = {k}" for k in at), f"part of the loss, K = {middle}"])
    for name, words, values in account_rows(account, at, boxes):
        table.rows.append([words, *map(percent, values), percent(parts[name]) if name in parts else ""])
    return table


def _quality(result: Mapping[str, Any]) -> Table | None:
    if result["PQ"] is None:
        return None
    table = Table(["percent", "PQ", "SQ", "RQ"])
    for name, suffix in (("all", ""), ("things", "_things"), ("stuff", "_stuff")):
        table.rows.append([name, *(percent(result[f"{q}{suffix}"]) for q in ("PQ", "SQ", "RQ"))])
    table.rows[0] = ["all", _with_interval(result["PQ"], result["ci95"].get("PQ")), *table.rows[0][2:]]
    return table


def _over(result: Mapping[str, Any], name: str) -> str:
    """The denominator of a metric."""
    counts = result["denominators"]
    if name.endswith("mR"):
        return f"{counts['mR']} predicates" if counts["mR"] is not None else "\u2013"
    if name == "A":
        return f"{counts['triplets']} triplets"
    return f"{counts['zR'] if 'z' in name else counts['R']} images" + (
        f", {counts['PR']} pairs" if name == "PR" else ""
    )


def _predicates(result: Mapping[str, Any], k: int) -> list[tuple[str, float | None, str]]:
    there = sorted(
        ((n, r) for n, r in result["per_predicate"].items() if r["images"]), key=lambda pair: -pair[1]["triplets"]
    )
    return [(name, row[f"R@{k}"], f"{row['triplets']} in {row['images']}") for name, row in there]


def _distance(result: Mapping[str, Any], at: Sequence[int]) -> str:
    rows = result["distance"]
    labels = [f"{row['from']:.2f} \u2013 {row['to']:.2f}" if row["to"] else f"over {row['from']:.2f}" for row in rows]
    return curve(labels, {f"R@{k}": [row[f"R@{k}"] for row in rows] for k in at}, [row["triplets"] for row in rows])


def _groups(result: Mapping[str, Any], at: Sequence[int]) -> Table:
    table = Table(["percent", *(f"{m}@{k}" for m in ("R", "mR") for k in at), "triplets", "images"])
    for name, row in result["groups"].items():
        if row is not None and row["triplets"]:
            metrics = [percent(row[f"{metric}@{k}"]) for metric in ("R", "mR") for k in at]
            table.rows.append([name.replace("_", " "), *metrics, str(row["triplets"]), str(row["images"])])
    return table


def _open_vocabulary(found: Mapping[str, Any] | None, at: Sequence[int]) -> Table | None:
    if found is None:
        return None
    counts = ("triplets", "images", "predicates")
    table = Table(["percent", "protocol", *(f"{m}@{k}" for m in ("R", "mR") for k in at), *counts])
    for row in found["rows"]:
        metrics = [percent(row[f"{metric}@{k}"]) for metric in ("R", "mR") for k in at]
        cells = ["" if row[name] is None else str(row[name]) for name in counts]
        table.rows.append([open_vocabulary_name(row), row["protocol"], *metrics, *cells])
    return table


def _classes(result: Mapping[str, Any]) -> Table | None:
    if result["per_class"] is None:
        return None
    table = Table(["", "PQ", "SQ", "RQ", "TP", "FP", "FN"])
    for name, row in result["per_class"].items():
        if row is not None:
            metrics = [percent(row[q]) for q in ("PQ", "SQ", "RQ")]
            table.rows.append([one_line(name, 24), *metrics, *(str(row[c]) for c in ("TP", "FP", "FN"))])
    return table
