"""``spade world``."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add


class Setting(StrEnum):
    """What training annotations leave out."""

    closed = "closed"
    ovr = "ovr"
    ovdr = "ovdr"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "world", world, "spade world data/psg --images 500 --size 160x128", ("seed", "force"))


def world(
    common: Common,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the data set.")],
    images: Annotated[int, typer.Option(min=5, help="Number of scenes; every fifth is a test image.")] = 240,
    size: Annotated[str, typer.Option(help="PX or WIDTHxHEIGHT, from 64 to 1024 pixels a side.")] = "128",
    setting: Annotated[
        Setting,
        typer.Option(help="closed: all annotated; ovr: novel predicates only in test images; ovdr: novel labels, too."),
    ] = Setting.closed,
) -> StepResult:
    """Write the embedded synthetic world as a PSG-format data set: images, panoptic maps, relations."""
    from spade.steps.world import run

    match = re.fullmatch(r"(\d+)(?:x(\d+))?", size)
    sides = [int(side) for side in match.groups(default=match[1])] if match else []
    if not sides or not all(64 <= side <= 1024 for side in sides):
        raise typer.BadParameter(
            f"{size!r}: use PX or WIDTHxHEIGHT from 64 to 1024, for example 128 or 160x128.", param_hint="--size"
        )
    return run(out, images, (sides[0], sides[1]), common.seed, common.run(), setting.value)
