"""``spade quickstart``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quickstart", epilog="Example: spade quickstart")(common_options(quickstart))


def quickstart(
    common: Common,
    images: Annotated[int, typer.Option(min=5, help="Scenes of the small world; every fifth is held out.")] = 300,
) -> StepResult:
    """Every step on a small world, from nothing to a picture of a scene graph, in a few minutes."""
    from spade.steps.quickstart import QuickstartConfig, run

    result = run(QuickstartConfig(images=images, **common.numbers), common.run())
    if not common.json and not common.quiet:
        _table(result.result)
    return result


def _table(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    figures = Table("held-out scenes", *result["figures"]["packaged"])
    for name, row in result["figures"].items():
        figures.add_row(name, *("-" if value is None else f"{100 * value:.1f}" for value in row.values()))
    seconds = Table("step", "seconds")
    for name, value in result["step_seconds"].items():
        seconds.add_row(name, f"{value:.1f}")
    console = Console()
    console.print(figures)
    console.print(seconds)
