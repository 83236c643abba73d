"""``spade train-boxes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.commands.invert import DATA, IMAGES, SPLIT_LIST
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "seed", "force", "preset", "settings")
    add(app, "train-boxes", train_boxes, "spade train-boxes data/psg --epochs 10", groups, "TrainBoxesConfig")


def train_boxes(
    common: Common,
    data: Annotated[Path, typer.Argument(metavar="DATA", help=DATA)],
    images: Annotated[Path | None, typer.Option(help=IMAGES)] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="OpenCLIP model whose text embeddings stand for names and predicates (default: learned vectors)."
        ),
    ] = None,
    split_list: Annotated[str | None, typer.Option(metavar="NAME|FILE", help=SPLIT_LIST)] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; --set help lists the defaults of these three.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A bad record is an error.")] = False,
) -> StepResult:
    """Train relations of labels and boxes alone, for segments that are given or found by another model."""
    from spade.steps.config import TrainBoxesConfig
    from spade.steps.train_boxes import run

    config = TrainBoxesConfig(
        data=data,
        images=images,
        clip=clip,
        split_list=split_list,
        limit=limit,
        strict=strict,
        seed=common.seed,
        device=common.device,
        preset=common.preset.value,
        **common.method(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate),
    )
    return run(config, common.run())
