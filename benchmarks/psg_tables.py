"""Tables of relations learned from PSG's annotation."""

from __future__ import annotations

from typing import Any

from tabling import cell, origin, results, table

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


def annotations() -> str:
    """Recall of all models at both points."""
    data = results("psg_annotations")
    columns = [f"{name}@{k}" for name in ("R", "mR") for k in (20, 50, 100)] + ["ngR@50", "top1", "PR@20"]
    body = []
    for point in ("recall", "balanced"):
        for model, words in MODELS.items():
            metrics = _metrics(data, model, point)
            if metrics:
                body.append([words, point, cell(metrics.get("balance")), *(cell(metrics[name]) for name in columns)])
    return table(["model", "point", "balance", *columns], body) + _note(data)


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
    return table(["model", "point", *columns], body) + "\n\nR@20 of these relations alone." + _note(data).replace("\n\n", " ")


def annotation_costs() -> str:
    """Parameters and time."""
    data = results("psg_annotations")
    columns = ["parameters", "minutes", "milliseconds a picture"]
    body = []
    for model, words in MODELS.items():
        metrics = _metrics(data, model, "recall")
        if metrics and metrics.get("parameters"):
            figures = [f"{metrics['parameters']['mean']:,.0f}", *(cell(metrics[name]) for name in columns[1:])]
            body.append([words, *figures])
    return table(["model", "parameters", "minutes of training", "milliseconds a picture"], body) + f"\n\n{data['machine']}, one core each."


def hidden_labels() -> str:
    """What is lost where a label was not seen in training."""
    data = results("psg_annotations")
    body = []
    for row in data["rows"]:
        setting, metrics = row["setting"], row["metrics"]
        if setting["model"] == HIDDEN:
            figures = [cell(metrics[f"R@{k}"]) for k in (20, 50, 100)] + [cell(metrics["triplets"], 0)]
            body.append([setting["labels"], setting["told"], *figures])
    head = ["triplets with labels that were", "hidden ones are told as", "R@20", "R@50", "R@100", "triplets"]
    return table(head, body) + _note(data)


def _metrics(data: dict[str, Any], model: str, point: str) -> dict[str, Any]:
    wanted = {"model": model, "point": point}
    return next((row["metrics"] for row in data["rows"] if row["setting"] == wanted), {})


def _note(data: dict[str, Any]) -> str:
    return f"\n\nPercent, mean ± sd over {len(data['seeds'])} seeds; 1,200 dev records of PSG's training set ({origin(data)})."
