"""The evaluation as one page: self-contained html, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from spade.evaluation.report.charts import bars, curve, intervals_chart, percent, shown
from spade.evaluation.report.examples import examples
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.metric_names import RANKED
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


def page(result: Mapping[str, Any], evaluator: Evaluator, predictions: Predictions) -> str:
    """The report of one evaluation: ``result`` is what ``--json`` prints."""
    source = Path(result["data"]).parent.name or "data"
    left_out = [*result["skipped_images"], *result["problems"]]
    parts = [
        f"<h1>{escape(source)}, {escape(result['protocol'])}, {escape(result['mode'])}</h1>",
        f'<p class="faint">{escape(RULES[result["protocol"]])}</p>',
        f"<p>{_counts(result)}</p>",
        _warning(left_out),
        _headline(result, evaluator.at),
        "<h2>Predicates</h2>",
        _predicates(result, evaluator.at),
        "<h2>Near and far</h2>",
        "<p class=faint>Recall by the distance of the box centres, as a share of the image's width; beyond a "
        "third a pair is far.</p>",
        _distance(result, evaluator.at),
        "<h2>Groups</h2>",
        '<p class="faint">Every group is read from the one run over all rows.</p>',
        _groups(result, evaluator.at),
        "<h2>Worst and best images</h2>",
        '<p class="faint"><span class="found">Green arrows</span> were found among the first '
        f'{evaluator.at[-1]} rows, <span class="missed">red dashed ones</span> missed; blue: the first rows of the '
        "prediction.</p>",
        examples(evaluator, predictions),
        _classes(result),
    ]
    return _document(f"{source}, {result['protocol']}", parts)


def comparison_page(result: Mapping[str, Any]) -> str:
    """Several systems side by side: ``result`` is what ``--compare --json`` prints."""
    systems = result["systems"]
    names = [name for name in systems[0]["ci95"] if all(system.get(name) is not None for system in systems)]
    shared = [name for name in _figure_names(systems[0]) if any(system.get(name) is not None for system in systems)]
    rows = [[word, *(str(s[word]) for s in systems)] for word in ("images", "skipped")]
    rows += [[name, *(_with_interval(s.get(name), s["ci95"].get(name)) for s in systems)] for name in shared]
    left_out = [*result["skipped_images"], *(p for s in systems for p in s["problems"])]
    parts = [
        f"<h1>{len(systems)} systems, {escape(result['protocol'])}, {escape(result['mode'])}</h1>",
        f'<p class="faint">{escape(RULES[result["protocol"]])} Percent; small: 95 % bootstrap intervals over '
        "images.</p>",
        _warning(left_out),
        _table(["", *(shown(s["name"], 40) for s in systems)], rows),
    ]
    for row in result["differences"]:
        parts.append(f"<h2>{shown(row['name'], 60)} less {shown(row['to'], 60)}</h2>")
        parts.append(
            '<p class="faint">Points, with paired 95 % intervals; coloured where the interval does not hold zero.</p>'
        )
        parts.append(intervals_chart([(n, row[n]["difference"], row[n]["ci95"]) for n in names if row.get(n)]))
    return _document(f"{len(systems)} systems compared", parts)


def _figure_names(summary: Mapping[str, Any]) -> list[str]:
    known = {f"{name}@" for name in RANKED}
    return [
        n
        for n in summary
        if (f"{n.split('@')[0]}@" in known and "@" in n) or n == "InstR" or n.split("_")[0] in ("PQ", "SQ", "RQ")
    ]


def _document(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(part for part in parts if part)
    style = resources.files("spade").joinpath("assets/report.css").read_text("utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(title)}</title><style>{style}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def _counts(result: Mapping[str, Any]) -> str:
    counts = [
        (result["images"], "images counted"),
        (result["skipped"], "left out"),
        (result["without_relations"], "without relations"),
    ]
    counts.append((result["denominators"]["triplets"], "triplets"))
    return ", ".join(f"<b>{count}</b> {name}" for count, name in counts)


def _warning(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
    return '<div class="warn">' + "<br>".join(shown(p, 300) for p in problems[:5]) + more + "</div>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are html already."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _with_interval(value: float | None, span: Sequence[float] | None) -> str:
    return percent(value) + (f"<small>{percent(span[0])} to {percent(span[1])}</small>" if span else "")


def _headline(result: Mapping[str, Any], at: Sequence[int]) -> str:
    rows = []
    for name in RANKED:
        if any(result.get(f"{name}@{k}") is not None for k in at):
            cells = [_with_interval(result[f"{name}@{k}"], result["ci95"].get(f"{name}@{k}")) for k in at]
            rows.append([f"<b>{name}@K</b> <span class=faint>{WORDS[name]}</span>", *cells, _over(result, name)])
    for label, part in (("missing images as 0", "strict"), ("known defects mended", "corrected")):
        rows += [
            [f"{name}@K, {label}", *(percent(result[part].get(f"{name}@{k}")) for k in at), ""] for name in ("R", "mR")
        ]
    out = _table(["percent", *(f"K = {k}" for k in at), "over"], rows)
    small = "95 % intervals by resampling images; those of mR and PQ mean little below some hundred images"
    out += f'<p class="faint">Small: {small}.</p>'
    if result["PQ"] is not None:
        parts = [("all", ""), ("things", "_things"), ("stuff", "_stuff")]
        quality = [[n, *(percent(result[f"{q}{s}"]) for q in ("PQ", "SQ", "RQ"))] for n, s in parts]
        quality[0][1] = _with_interval(result["PQ"], result["ci95"].get("PQ"))
        counts = result["denominators"]
        out += "<h2>Masks</h2>" + _table(["percent", "PQ", "SQ", "RQ"], quality)
        out += f'<p class="faint">Over {counts["PQ"]} classes in {counts["PQ_images"]} predicted images.</p>'
    share = f"<b>{percent(result['InstR'])}</b> of {result['denominators']['InstR']}"
    return out + f"<p>Annotated segments found (InstR): {share}</p>"


def _over(result: Mapping[str, Any], name: str) -> str:
    """The denominator of a figure."""
    counts = result["denominators"]
    if name.endswith("mR"):
        return f"{counts['mR']} predicates" if counts["mR"] is not None else "–"
    if name == "A":
        return f"{counts['triplets']} triplets"
    return f"{counts['zR'] if 'z' in name else counts['R']} images" + (
        f", {counts['PR']} pairs" if name == "PR" else ""
    )


def _predicates(result: Mapping[str, Any], at: Sequence[int]) -> str:
    k = at[len(at) // 2]
    there = sorted(
        ((n, r) for n, r in result["per_predicate"].items() if r["images"]), key=lambda pair: -pair[1]["triplets"]
    )
    lines = bars([(name, row[f"R@{k}"], f"{row['triplets']} in {row['images']}") for name, row in there])
    absent = ", ".join(shown(name) for name in result["absent_predicates"]) or "none"
    head = f'<p class="faint">R@{k}, percent; beside it triplets and images. Not annotated here: {absent}.</p>'
    return f'{head}<div class="bars">{lines}</div>'


def _distance(result: Mapping[str, Any], at: Sequence[int]) -> str:
    rows = result["distance"]
    labels = [f"{row['from']:.2f} – {row['to']:.2f}" if row["to"] else f"over {row['from']:.2f}" for row in rows]
    return curve(labels, {f"R@{k}": [row[f"R@{k}"] for row in rows] for k in at}, [row["triplets"] for row in rows])


def _groups(result: Mapping[str, Any], at: Sequence[int]) -> str:
    rows = []
    for name, row in result["groups"].items():
        if row is not None and row["triplets"]:
            metrics = [percent(row[f"{metric}@{k}"]) for metric in ("R", "mR") for k in at]
            rows.append([escape(name.replace("_", " ")), *metrics, str(row["triplets"]), str(row["images"])])
    return _table(["percent", *(f"{m}@{k}" for m in ("R", "mR") for k in at), "triplets", "images"], rows)


def _classes(result: Mapping[str, Any]) -> str:
    if result["per_class"] is None:
        return ""
    rows = [
        [shown(name), *(percent(row[q]) for q in ("PQ", "SQ", "RQ")), *(str(row[c]) for c in ("TP", "FP", "FN"))]
        for name, row in result["per_class"].items()
        if row is not None
    ]
    table = _table(["", "PQ", "SQ", "RQ", "TP", "FP", "FN"], rows)
    return f"<h2>Classes</h2><details><summary>PQ of {len(rows)} classes</summary>{table}</details>"
