"""``spade calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add

EPOCHS = "Epochs (default: the backbone's)."
BATCH = "Images per batch (default: the backbone's)."
RATE = "Peak learning rate (default: by backbone and start)."


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "dtype", "seed", "force", "source", "preset", "settings")
    add(app, "calibrate", calibrate, "spade calibrate --rank 8", groups, "CalibrateConfig")


def calibrate(
    common: Common,
    train: Annotated[
        str | None,
        typer.Option(
            help=(
                "What learns: lora, with the image adapter (the default); adapter, the image adapter alone; "
                "full, the whole UNet with it."
            )
        ),
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the LoRA; --set help lists the default.")] = None,
    epochs: Annotated[int | None, typer.Option(help=EPOCHS)] = None,
    batch_size: Annotated[int | None, typer.Option(help=BATCH)] = None,
    learning_rate: Annotated[float | None, typer.Option(help=RATE)] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="embedded: start from the packaged adapter (default with the tiny backbone); scratch: a fresh one."
        ),
    ] = None,
) -> StepResult:
    """Teach the UNet to look where the teacher looked, without a caption: LoRA and an image adapter."""
    from spade.steps.calibrate import run
    from spade.steps.config import CalibrateConfig

    method = common.method(train=train, rank=rank, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    config = CalibrateConfig(init=init, seed=common.seed, preset=common.preset.value, **common.compute, **method)
    return run(config, common.run())
