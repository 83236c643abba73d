"""``spade quickstart``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "quickstart", quickstart, "spade quickstart", ("device", "dtype", "seed", "force"))


def quickstart(
    common: Common,
    images: Annotated[int, typer.Option(min=5, help="Scenes of the small world; every fifth is held out.")] = 300,
) -> StepResult:
    """Every step on a small world, from nothing to a figure of a scene graph, in a few minutes."""
    from spade.steps.config import QuickstartConfig
    from spade.steps.quickstart import run

    result = run(QuickstartConfig(images=images, seed=common.seed, **common.compute), common.run())
    if not common.json and not common.quiet:
        _table(result.result.metrics, result.result.step_seconds)
    return result


def _table(metrics: Mapping[str, Mapping[str, float | None]], step_seconds: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    scenes = Table("held-out scenes", *metrics["packaged"])
    for name, row in metrics.items():
        scenes.add_row(name, *("-" if value is None else f"{100 * value:.1f}" for value in row.values()))
    seconds = Table("step", "seconds")
    for name, value in step_seconds.items():
        seconds.add_row(name, f"{value:.1f}")
    console = Console()
    console.print(scenes)
    console.print(seconds)
