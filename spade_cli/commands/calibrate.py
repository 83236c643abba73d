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
    train: Annotated[
        str,
        typer.Option(
            help=(
                "What learns: lora, with the image adapter; adapter, the image adapter alone; full, the whole "
                "UNet with it."
            )
        ),
    ] = "lora",
    rank: Annotated[int, typer.Option(help="Rank of the LoRA (with --train lora).")] = 8,
    alpha: Annotated[float, typer.Option(min=0, help="Scale of the LoRA (0: the same as the rank).")] = 0.0,
    targets: Annotated[
        str, typer.Option(help="Projections of the cross-attention that get a LoRA: q, k, v, out, with commas.")
    ] = "q,k,v,out",
    alignment: Annotated[
        str,
        typer.Option(
            help=(
                "The student's token for a word: vocabulary, its label's; index, that at its place; matched, the "
                "nearest in each picture."
            )
        ),
    ] = "vocabulary",
    tokens: Annotated[int, typer.Option(min=0, help="Tokens of the image adapter (0: the alignment's default).")] = 0,
    timestep: Annotated[
        int, typer.Option(min=0, help="Timestep of the student's one pass (0: the backbone's default).")
    ] = 0,
    counterfactual: Annotated[
        float,
        typer.Option(
            min=0, help="Weight of the hinge against maps of wrong prompts; needs spade invert --counterfactual."
        ),
    ] = 0.0,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs (0: the backbone's default).")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Pictures a batch (0: the backbone's default).")] = 0,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a step.")] = 1,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate (0: the default).")] = 0.0,
    init: Annotated[
        str, typer.Option(help="embedded: start from the packaged adapter (tiny backbone only); scratch: a fresh one.")
    ] = "embedded",
) -> StepResult:
    """Teach the UNet to look where the teacher looked, without a caption: LoRA and an image adapter."""
    from spade.diffusion.config import CalibrateConfig
    from spade.steps.calibrate import run

    config = CalibrateConfig(
        train=train,
        rank=rank,
        alpha=alpha,
        targets=tuple(part.strip() for part in targets.split(",") if part.strip()),
        alignment=alignment,
        tokens=tokens,
        timestep=timestep,
        counterfactual=counterfactual,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        init=init,
        **common.numbers,
    )
    return run(config, common.run())
