"""Rows of stage 2's results, and what its tables call them."""

from __future__ import annotations

from typing import Any

from benchmarks.common.tables import origin
from benchmarks.relations.parts import SETTING as ALL

MODELS = {
    "full": "full model",
    "raw encoder": "the same heads on the raw UNet",
    "plain encoder": "the same heads on a convolutional encoder",
    "boosting": "gradient boosting on labels and boxes",
    "boosting, on found boxes, too": "gradient boosting, learning on found boxes, too",
    "frequency": "frequency of label pairs",
}
MODES = {"sgdet": "found segments", "predcls": "given segments"}
FUSIONS = {
    "full, novel names by text alone": ("diffusion alone", "12.5 or 21.4"),
    "full, diffusion 0.67": ("diffusion to the 0.67, OpenCLIP to the 0.33", ""),
    "full, diffusion 0.34": ("diffusion to the 0.34, OpenCLIP to the 0.66", "26.7"),
    "full, diffusion 0.0": ("OpenCLIP alone", "12.5 or 21.4"),
}


def present(data: dict[str, Any]) -> list[str]:
    """Which of the compared models were measured."""
    measured = {row["setting"]["model"] for row in data["rows"]}
    return [model for model in MODELS if model in measured]


def metrics_of(data: dict[str, Any], model: str, mode: str, setting: str, **part: str) -> dict[str, Any]:
    """A row's metrics; none where it was not measured."""
    wanted = {"model": model, "mode": mode, "setting": setting} | ALL | part
    return next((row["metrics"] for row in data["rows"] if row["setting"] == wanted), {})


def note(data: dict[str, Any], what: str = "Percent") -> str:
    """What is written under a table."""
    seeds = len(data["seeds"])
    return f"\n\n{what}, mean ± sd over {seeds} seeds of the relation part; 300 held-out scenes ({origin(data)})."
