"""``spade train-relations``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.commands.calibrate import BATCH, EPOCHS, RATE
from spade_cli.commands.invert import IMAGES
from spade_cli.options import Common, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "dtype", "seed", "force", "source", "preset", "settings")
    example = "spade train-relations --epochs 12 --set neighbours=hard"
    add(app, "train-relations", train_relations, example, groups, "TrainRelationsConfig")


def train_relations(
    common: Common,
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Data set to train on (default: the one that was inverted).")
    ] = None,
    images: Annotated[Path | None, typer.Option(help=IMAGES)] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="Which relations choose the best epoch: sgdet, of found segments, or predcls, of given ones."
        ),
    ] = "sgdet",
    masks_from: Annotated[
        Path | None,
        typer.Option(
            help="Take adapter and mask proposer of this model (tiny, a folder, a workspace); learn relations only."
        ),
    ] = None,
    split_list: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="With --masks-from, as in spade invert; else the calibration's is taken over."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help=EPOCHS)] = None,
    batch_size: Annotated[int | None, typer.Option(help=BATCH)] = None,
    learning_rate: Annotated[float | None, typer.Option(help=RATE)] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="embedded: start from the packaged heads (default where they fit; tiny-open's where names are novel); "
            "scratch: fresh ones."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A bad record or image is an error.")] = False,
) -> StepResult:
    """Train masks, labels and relations on the calibrated features."""
    from spade.steps.config import TrainRelationsConfig
    from spade.steps.train_relations import run

    config = TrainRelationsConfig(
        data=data,
        images=images,
        mode=mode,
        masks_from=masks_from,
        split_list=split_list,
        init=init,
        limit=limit,
        strict=strict,
        seed=common.seed,
        preset=common.preset.value,
        **common.compute,
        **common.method(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate),
    )
    return run(config, common.run())
