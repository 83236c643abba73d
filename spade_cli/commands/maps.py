"""``spade maps``."""

from __future__ import annotations

from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "maps", maps, "spade maps 000000.png", ("device", "dtype", "force", "source"))


def maps(
    common: Common,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE]...", help="Ids or file names of inverted images (default: the first for validation)."
        ),
    ] = None,
) -> StepResult:
    """Draw where the teacher looks for each label of an image, the raw UNet that is told the labels, and the
    student.
    """
    from spade.steps.config import MapsConfig
    from spade.steps.maps import run

    return run(MapsConfig(images=tuple(images or ()), **common.compute), common.run())
