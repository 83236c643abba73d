"""What all tables of the documents are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def results(name: str) -> dict[str, Any]:
    """A result file."""
    data: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    return data


def cell(value: Any, digits: int = 1) -> str:
    """A figure with its spread, if several were measured, or a dash where there is none."""
    if value is None:
        return "-"
    if not isinstance(value, dict):
        return f"{value:.{digits}f}"
    if value.get("n") == 1:
        return f"{value['mean']:.{digits}f}"
    return f"{value['mean']:.{digits}f} ± {value['sd']:.{digits}f}"


def table(head: list[str], body: list[list[str]]) -> str:
    """Rows of text as a table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(data: dict[str, Any]) -> str:
    """The command and the day."""
    return f"`{data['command']}`, {data['date']}"
