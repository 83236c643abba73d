"""``spade eval``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.commands.invert import IMAGES, SPLIT_LIST
from spade_cli.commands.predict import MODEL
from spade_cli.options import Common, add, numbers_list


class Protocol(StrEnum):
    """The field's protocols."""

    openpsg = "openpsg"
    single_mpo = "single-mpo"
    sgbench = "sgbench"
    vg = "vg"


class Mode(StrEnum):
    """What a system was given."""

    sgdet = "sgdet"
    predcls = "predcls"


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "dtype", "seed", "force", "source", "settings")
    example = "spade eval data/psg --predictions other.jsonl --protocol sgbench"
    add(app, "eval", evaluate, example, groups, "EvalConfig")


def evaluate(
    common: Common,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA] [FILE...]",
            help="Annotated data set (default: the newest model's); with --compare the files too.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Predictions of any system: exchange file, sgbench file, competition submission (default: our model's)."
            )
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Evaluate the prediction FILEs side by side; differences are to the first."),
    ] = False,
    protocol: Annotated[
        Protocol | None,
        typer.Option(help="Whose rules to follow, docs/evaluation.md (default: openpsg; vg for data sets of boxes)."),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="sgdet: masks predicted; predcls: annotated segments given.")] = Mode.sgdet,
    at: Annotated[str, typer.Option(help="The K of R@K and its kin, with commas.")] = "20,50,100",
    split_list: Annotated[str | None, typer.Option(metavar="NAME|FILE", help=SPLIT_LIST)] = None,
    zero_shot: Annotated[
        Path | None, typer.Option(help="Json list of label triples unseen in training, for zR@K.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help=MODEL)] = None,
    images: Annotated[Path | None, typer.Option(help=IMAGES)] = None,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads that judge images (0: one a core).")] = 0,
    lenient: Annotated[bool, typer.Option("--lenient", help="Skip and count bad images of a prediction file.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="An image or annotated map that cannot be read is an error.")
    ] = False,
) -> StepResult:
    """Recall, panoptic quality and more of a model, or of predictions of any system, by the field's protocols."""
    from spade.steps.config import EvalConfig
    from spade.steps.evaluate import named, run

    dataset, files = named(tuple(data or ()), compare)
    config = EvalConfig(
        data=dataset,
        images=images,
        predictions=predictions,
        compare=files,
        model=model,
        protocol=None if protocol is None else protocol.value,
        mode=mode.value,
        at=numbers_list(at, "--at"),
        split=split,
        split_list=split_list,
        zero_shot=zero_shot,
        limit=limit,
        lenient=lenient,
        strict=strict,
        workers=workers,
        seed=common.seed,
        **common.compute,
        **common.method(),
    )
    return run(config, common.run())
