"""``spade train-relations``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train-relations", epilog="Example: spade train-relations --epochs 12")(common_options(train_relations))


def train_relations(
    common: Common,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help="Data set to train on (default: the one that was inverted).")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, if not beside the annotations.")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs (0: the backbone's default).")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Pictures a batch (0: the backbone's default).")] = 0,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate (0: the default).")] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    init: Annotated[str, typer.Option(help="embedded: start from the packaged heads where they fit; scratch: fresh ones.")] = "embedded",
    strict: Annotated[bool, typer.Option("--strict", help="A bad record or picture is an error.")] = False,
) -> StepResult:
    """Train masks, labels and relations on the calibrated features."""
    from spade.config import RelationsConfig
    from spade.steps.train_relations import run

    config = RelationsConfig(
        data=data,
        images=images,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        limit=limit,
        init=init,
        strict=strict,
        **common.numbers,
    )
    return run(config, common.run())
