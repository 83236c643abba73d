"""``spade status``."""

from __future__ import annotations

import shlex

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "status", status, "spade status --workspace spade-workspace")


def status(common: Common) -> StepResult | None:
    """What the workspace holds: step, key, inputs, when, size, complete or partial."""
    from spade.core.workspace import Workspace
    from spade.steps.results import StatusResult

    workspace = Workspace(common.workspace)
    rows, begun = workspace.status(), workspace.quickstart
    quickstart = str(begun) if begun.is_dir() else None
    if common.json:
        return StepResult("status", "-", common.workspace, True, 0.0, StatusResult(rows, quickstart))
    if rows or not quickstart:
        _table(rows)
    if quickstart:
        print(f"what spade quickstart made: spade status --workspace {shlex.quote(quickstart)}")
    return None


def _table(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "key", "from", "state", "finished", "seconds", "MB", box=None)
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        state = "complete" if row["complete"] else "partial"
        inputs = ", ".join(row["inputs"].values())
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(
            row["step"],
            row["key"],
            inputs,
            state,
            (row["finished"] or "")[:16].replace("T", " "),
            seconds,
            f"{row['bytes'] / 1e6:.1f}",
        )
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table if rows else "nothing yet; begin with: spade quickstart")
