"""``spade eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options, numbers_list


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval", epilog="Example: spade eval data/psg --at 20,50,100")(common_options(evaluate))


def evaluate(
    common: Common,
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Annotated data set (default: the one the newest model was trained on).")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Predictions of any system in the exchange format (default: run the model).")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model folder or workspace (default: the newest trained one, else the packaged).")
    ] = None,
    at: Annotated[str, typer.Option(help="The K of R@K and mR@K, with commas.")] = "20,50,100",
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, if not beside the annotations.")] = None,
    split: Annotated[str, typer.Option(help="train, test or all.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Skip and count bad images of a prediction file.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A picture or annotated map that cannot be read is an error.")] = False,
) -> StepResult:
    """R@K, mR@K and PQ of a model, or of predictions of any system, by the openpsg rules."""
    from spade.config import EvalConfig
    from spade.steps.evaluate import run

    config = EvalConfig(
        data=data,
        images=images,
        predictions=predictions,
        model=model,
        at=numbers_list(at, "--at"),
        split=split,
        limit=limit,
        lenient=lenient,
        strict=strict,
        **common.numbers,
    )
    return run(config, common.run())
