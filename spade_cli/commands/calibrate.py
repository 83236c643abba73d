"""``spade calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate", epilog="Example: spade calibrate --rank 8")(common_options(calibrate))


def calibrate(
    common: Common,
    rank: Annotated[int, typer.Option(help="Rank of the LoRA.")] = 8,
    alpha: Annotated[float, typer.Option(min=0, help="Scale of the LoRA (0: the same as the rank).")] = 0.0,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs (0: the backbone's default).")] = 0,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate (0: the default).")] = 0.0,
    init: Annotated[
        str, typer.Option(help="embedded: start from the packaged adapter (tiny backbone only); scratch: a fresh one.")
    ] = "embedded",
) -> StepResult:
    """Teach the UNet to look where the teacher looked, without a caption: LoRA and an image adapter."""
    from spade.config import CalibrateConfig
    from spade.steps.calibrate import run

    config = CalibrateConfig(rank=rank, alpha=alpha, epochs=epochs, learning_rate=learning_rate, init=init, **common.numbers)
    return run(config, common.run())
