"""Results that people read as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spade.core.text import counted
from spade.evaluation.scoring.metric_names import (
    RANKED,
    account_rows,
    compared_accounts,
    judged_by,
    open_vocabulary_name,
    trained_on_novel,
)
from spade.steps.results import PredictResult


def evaluation(result: Mapping[str, Any]) -> list[str]:
    """Lines of an evaluation, or of a comparison, in percent."""
    return _comparison(result) if "systems" in result else _single(result)


def prediction(result: PredictResult, folder: Path, seconds: float) -> list[str]:
    """What was predicted, how fast, and where it lies; ``seconds`` 0 for a result that was there."""
    counts = [
        counted(len(result.graphs), "image"),
        *(
            counted(n, what)
            for n, what in ((result.segments, "segment"), (result.relations, "relation"))
            if n is not None
        ),
    ]
    speed = f" ({len(result.graphs) / seconds:.1f} images/s)" if seconds > 0 and len(result.graphs) > 1 else ""
    lines = [", ".join(counts) + speed]
    if result.skipped:
        lines.append(f"left out: {counted(len(result.skipped), 'image')}")
    lines.append(f"model: {Path(result.model).name}")
    place = Path(result.output) if result.output else folder
    if result.page is not None:
        lines.append(f"page: {place / result.page}")
    if result.predictions is not None:
        lines.append(f"for spade eval: {result.predictions}")
    return [*lines, f"in: {place}"]


def _single(result: Mapping[str, Any]) -> list[str]:
    at = [name.partition("@")[2] for name in result if name.startswith("R@")]
    counts = (
        f"{result['images']} images, {result['skipped']} without a prediction, {result['without_relations']} without "
        "relations"
    )
    rows = [["percent", *(f"@{k}" for k in at)]]
    for name in RANKED:
        if any(result.get(f"{name}@{k}") is not None for k in at):
            rows.append([name, *(_with_interval(result, f"{name}@{k}") for k in at)])
    if result["skipped"]:
        rows.append(["R, left out as 0", *(_percent(result["strict"][f"R@{k}"]) for k in at)])
    lines = [
        f"{judged_by(result)}: {counts}, {result['denominators']['triplets']} triplets",
        *_aligned(rows),
    ]
    if result["PQ"] is not None:
        parts = f"things {_percent(result['PQ_things'])}, stuff {_percent(result['PQ_stuff'])}"
        lines.append(
            f"PQ {_with_interval(result, 'PQ')}  SQ {_percent(result['SQ'])}  "
            f"RQ {_percent(result['RQ'])}  PQ of {parts}"
        )
    lines.append(f"InstR {_percent(result['InstR'])}")
    lines += ["of the annotated relations, percent:", *_aligned(_account(result["account"], at, result["boxes"]))]
    if result["open_vocabulary"] is not None:
        lines += _open_vocabulary(result["open_vocabulary"], at)
        warning = trained_on_novel(result["open_vocabulary"])
        lines = lines if warning is None else [warning, *lines]
    return [*lines, *_left_out(result), f"report: {result['report']}"]


def _open_vocabulary(found: Mapping[str, Any], at: Sequence[str]) -> list[str]:
    """A table a protocol: parts, R and mR at each K, and the denominators."""
    lines = []
    for protocol in dict.fromkeys(row["protocol"] for row in found["rows"]):
        head = [f"{protocol}, by {found['split']['name']}, percent"]
        body = [[*head, *(f"{name}@{k}" for name in ("R", "mR") for k in at), "triplets", "images", "predicates"]]
        for row in found["rows"]:
            if row["protocol"] == protocol:
                metrics = [_percent(row[f"{name}@{k}"]) for name in ("R", "mR") for k in at]
                counts = ["" if row[n] is None else str(row[n]) for n in ("triplets", "images", "predicates")]
                body.append([open_vocabulary_name(row), *metrics, *counts])
        lines += _aligned(body)
    return lines


def _account(account: Mapping[str, Any], at: Sequence[str], boxes: bool) -> list[list[str]]:
    rows = [[w, *map(_percent, values)] for _, w, values in account_rows(account, at, boxes)]
    return [["", *(f"@{k}" for k in at)], *rows]


def _comparison(result: Mapping[str, Any]) -> list[str]:
    systems = result["systems"]
    names = [name for name in systems[0]["ci95"] if any(system.get(name) is not None for system in systems)]
    rows = [["percent", *(system["name"] for system in systems)]]
    rows += [[word, *(str(system[word]) for system in systems)] for word in ("images", "skipped")]
    rows += [[name, *(_with_interval(system, name) for system in systems)] for name in names]
    lines = [judged_by(result), *_aligned(rows)]
    middle, account = compared_accounts(systems, result["boxes"])
    lines.append(f"of the annotated relations, percent, K = {middle}:")
    lines += _aligned([["", *(system["name"] for system in systems)], *([w, *map(_percent, v)] for w, *v in account)])
    for row in result["differences"]:
        lines.append(f"{row['name']} less {row['to']}, points with paired 95 % intervals:")
        body = []
        for name in names:
            if row.get(name) is not None:
                span = row[name]["ci95"]
                body.append(
                    [
                        name,
                        f"{100 * row[name]['difference']:+.1f}",
                        f"{100 * span[0]:+.1f} to {100 * span[1]:+.1f}" if span else "",
                    ]
                )
        lines += _aligned(body)
    for system in systems:
        if (found := system.get("open_vocabulary")) is not None:
            at = [name.partition("@")[2] for name in system if name.startswith("R@")]
            lines += [f"{system['name']}:", *_open_vocabulary(found, at)]
    return [*lines, *_left_out(result), f"report: {result['report']}"]


def _left_out(result: Mapping[str, Any]) -> list[str]:
    counts = [
        (len(result.get(key, ())), what) for key, what in (("skipped_images", "annotated"), ("problems", "predicted"))
    ]
    return [f"skipped: {count} {what} images" for count, what in counts if count]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _with_interval(result: Mapping[str, Any], name: str) -> str:
    span = result["ci95"].get(name)
    return _percent(result.get(name)) + (f" ({_percent(span[0])} to {_percent(span[1])})" if span else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
