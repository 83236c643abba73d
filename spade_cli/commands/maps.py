"""``spade maps``."""

from __future__ import annotations

from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("maps", epilog="Example: spade maps 000000.png")(common_options(maps))


def maps(
    common: Common,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE]...",
            help="Ids or file names of inverted images (default: the first that calibration watched).",
        ),
    ] = None,
) -> StepResult:
    """Draw where the teacher looks for each label of an image, the raw UNet that is told the labels, and the calibrated
    student.
    """
    from spade.steps.config import MapsConfig
    from spade.steps.maps import run

    return run(MapsConfig(images=tuple(images or ()), **common.numbers), common.run())
