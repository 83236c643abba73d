"""``spade predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict", epilog="Example: spade predict photo.jpg --vocab labels.txt")(common_options(predict))


def predict(
    common: Common,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Picture files, folders, globs, or a data set (its test pictures)."),
    ],
    vocab: Annotated[
        Path | None, typer.Option(help="Vocabulary file: one label a line (default: the model's training list).")
    ] = None,
    predicates: Annotated[Path | None, typer.Option(help="File with one predicate a line.")] = None,
    output: Annotated[Path | None, typer.Option(help="Also put the files into this folder.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="SceneGraphPredictor folder or workspace (default: the newest trained one, else the packaged)."
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            help="Masks and labels that are given: scene graph, PSG or COCO-panoptic json. Relations are added."
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="Panoptic model of transformers that finds them: a directory or hub id (Mask2Former, OneFormer, ...)."
        ),
    ] = None,
    novel_odds: Annotated[
        float | None,
        typer.Option(
            min=0, help="For names that training did not have (default: the model's; 0: as if training had had them)."
        ),
    ] = None,
    balance: Annotated[
        float | None,
        typer.Option(
            min=0, max=2, help="For rare predicates, with --segments or --segmenter (default: the model's; 0: nothing)."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="At most N relations a picture.")] = 20,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least P(pair) x P(predicate | pair) of a relation.")
    ] = 0.1,
    fusion: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Exponent of the diffusion branch; OpenCLIP's view of regions has the rest (default: the model's).",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N pictures.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A picture that cannot be read is an error.")] = False,
) -> StepResult:
    """Pictures to scene graphs: json, panoptic png, and a figure of image, masks and graph."""
    from spade.steps.config import PredictConfig
    from spade.steps.predict import run

    config = PredictConfig(
        images=tuple(images),
        vocab=vocab,
        predicates=predicates,
        output=output,
        model=model,
        segments=segments,
        segmenter=segmenter,
        balance=balance,
        novel_odds=novel_odds,
        top=top,
        min_score=min_score,
        fusion=fusion,
        limit=limit,
        strict=strict,
        **common.numbers,
    )
    return run(config, common.run())
