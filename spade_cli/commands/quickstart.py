"""``spade quickstart``."""

from __future__ import annotations

from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade.steps.results import QuickstartResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "quickstart", quickstart, "spade quickstart", ("device", "dtype", "seed", "force"))


def quickstart(
    common: Common,
    images: Annotated[int, typer.Option(min=5, help="Scenes of the small world; every fifth is held out.")] = 100,
    full: Annotated[
        bool, typer.Option("--full", help="Learn masks on this run's calibration, too; takes some minutes more.")
    ] = False,
) -> StepResult:
    """Run every step on a small world in two minutes: what each is worth there, and pictures."""
    from spade.steps.config import QuickstartConfig
    from spade.steps.quickstart import run

    result = run(QuickstartConfig(images=images, full=full, seed=common.seed, **common.compute), common.run())
    if not common.json and not common.quiet:
        _tables(result.result)
    return result


def _tables(result: QuickstartResult) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    steps = Table("step", "percent", "without it", "with it")
    for row in result.steps:
        without = f"{_percent(row['without'])} ({row['without_is']})"
        steps.add_row(row["step"], row["measure"], without, _percent(row["value"]))
    console.print(steps)
    console.print(
        f"On {result.held_out_images} held-out scenes. Calibration is judged by pointing alone: does the UNet look at "
        "the thing that a name says? Relation heads stand on the packaged adapter and masks.\n"
    )
    names = list(next(iter(result.models.values())))
    models = Table("whole models, percent", *names)
    for name, metrics in result.models.items():
        models.add_row(name, *(_percent(metrics[measure]) for measure in names))
    console.print(models)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
