"""``spade example``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "example", example, "spade example photos")


def example(
    common: Common, out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write into.")]
) -> StepResult:
    """Photographs of installed packages with segments that were traced by hand: something to predict at once."""
    from spade.steps.example import run

    return run(out, common.run())
