"""Tables of relations learned from PSG's annotation."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.common.tables import ROOT, cell, origin, results, table

MODELS = {
    "frequency": "frequency of label pairs",
    "boosting": "gradient boosting on labels and geometry",
    "pairwise": "pairwise network of the same size",
    "rgt-none": "graph transformer without attention",
    "rgt-neighbours": "attention to neighbours alone",
    "rgt-others": "attention to the others alone",
    "rgt-full": "full model",
}
HIDDEN = "rgt-full without a fifth of the labels"


def psg_annotations() -> str:
    """Recall of all models at both points."""
    data = results("psg_annotations")
    columns = [f"{name}@{k}" for name in ("R", "mR") for k in (20, 50, 100)] + ["ngR@50", "top1", "PR@20"]
    body = []
    for point in ("recall", "balanced"):
        for model, words in MODELS.items():
            metrics = _metrics(data, model, point)
            if metrics:
                size = metrics.get("parameters")
                parameters = f"{size['mean'] / 1e6:.2f} M" if size else ""
                body.append(
                    [words, point, cell(metrics["balance"]), *(cell(metrics[name]) for name in columns), parameters]
                )
    return table(["model", "point", "balance", *columns, "parameters"], body) + _note(data)


def annotation_parts() -> str:
    """R@20 by kinds of relations."""
    data = results("psg_annotations")
    columns = ["positional", "other", "near", "far", "frequent", "middle", "rare"]
    body = []
    for point in ("recall", "balanced"):
        for model, words in MODELS.items():
            metrics = _metrics(data, model, point)
            if metrics:
                body.append([words, point, *(cell(metrics[f"R@20 {name}"]) for name in columns)])
    return (
        table(["model", "point", *columns], body)
        + "\n\nR@20 of these relations alone."
        + _note(data).replace("\n\n", " ")
    )


def packaged_relations() -> str:
    """The packaged model, in half precision, and what it costs."""
    manifest = json.loads((ROOT / "spade" / "assets" / "psg-relations" / "manifest.json").read_text("utf-8"))
    names = list(manifest["metrics"]["recall"])
    body = [
        [point, f"{balance:g}", *(cell(manifest["metrics"][key][name]) for name in names)]
        for point, key, balance in (("recall", "recall", 0), ("as packaged", "packaged", manifest["logit_adjustment"]))
    ]
    cost = next(row["metrics"] for row in results("psg_annotations")["rows"] if row["setting"]["model"] == "packaged")
    size = sum(own["bytes"] for own in manifest["files"].values()) / 1e6
    each = cell(cost["milliseconds a picture"])
    note = (
        f"Percent, of the same records. {manifest['parameters'] / 1e6:.2f} million parameters, {size:.1f} MB. "
        f"On one core: {manifest['minutes']:.0f} minutes of training (beside another job), {each} ms an image."
    )
    return table(["point", "balance", *names], body) + "\n\n" + note


def hidden_labels() -> str:
    """What is lost where a label was not seen in training."""
    data = results("psg_annotations")
    body = []
    for row in data["rows"]:
        setting, metrics = row["setting"], row["metrics"]
        if setting["model"] == HIDDEN:
            metrics = [cell(metrics[f"R@{k}"]) for k in (20, 50, 100)] + [cell(metrics["triplets"], 0)]
            body.append([setting["labels"], setting["told"], *metrics])
    head = ["triplets with labels that were", "hidden ones are told as", "R@20", "R@50", "R@100", "triplets"]
    seeds = max(row["metrics"]["R@20"]["n"] for row in data["rows"] if row["setting"]["model"] == HIDDEN)
    return table(head, body) + _note(data | {"seeds": range(seeds)})


def _metrics(data: dict[str, Any], model: str, point: str) -> dict[str, Any]:
    wanted = {"model": model, "point": point}
    return next((row["metrics"] for row in data["rows"] if row["setting"] == wanted), {})


def _note(data: dict[str, Any]) -> str:
    seeds = len(data["seeds"])
    return f"\n\nPercent, mean ± sd over {seeds} seed(s); 1,200 dev records of PSG's training set ({origin(data)})."
