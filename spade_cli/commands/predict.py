"""``spade predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from spade.core.errors import SpadeError
from spade.steps.common import StepResult
from spade_cli.options import Common, add

MODEL = (
    "Model folder, workspace, or a packaged model: tiny, tiny-open, psg-relations "
    "(default: the newest trained one, else the packaged)."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "dtype", "force", "source", "settings")
    add(app, "predict", predict, "spade predict photo.jpg --vocab labels.txt", groups, "PredictConfig")


def predict(
    common: Common,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders, globs, a data set (its test images), or - for names on stdin.",
        ),
    ],
    vocab: Annotated[
        str | None,
        typer.Option(
            help="Vocabulary file, one label a line, or labels with commas: person,dog,sky "
            "(default: the model's training list)."
        ),
    ] = None,
    predicates: Annotated[Path | None, typer.Option(help="File with one predicate a line.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also put the files into this folder.")] = None,
    model: Annotated[Path | None, typer.Option(help=MODEL)] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            help="Masks and labels that are given, to be related: a scene graph, a folder of them, a PSG or COCO file."
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="Panoptic model that finds them: coco-tiny, coco-base, coco-large (Mask2Former), a hub id or a "
            "directory (Mask2Former, MaskFormer, OneFormer, EoMT)."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="At most N relations an image.")] = 20,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least P(pair) x P(predicate | pair) of a relation.")
    ] = 0.1,
    figures: Annotated[
        bool | None,
        typer.Option("--figures/--no-figures", help="A figure of each image (default: of up to 200 images)."),
    ] = None,
    page: Annotated[
        bool | None, typer.Option("--page/--no-page", help="One html page of all (default: of up to 200 images).")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="An image that cannot be read is an error.")] = False,
) -> StepResult:
    """Images to scene graphs: json, panoptic png, a figure of each, and one page of all."""
    from spade.steps.config import PredictConfig
    from spade.steps.predict import run

    config = PredictConfig(
        images=tuple(name for given in images for name in ([given] if given != "-" else names_on_stdin())),
        vocab=vocab,
        predicates=predicates,
        output=output,
        model=model,
        segments=segments,
        segmenter=segmenter,
        top=top,
        min_score=min_score,
        figures=figures,
        page=page,
        limit=limit,
        strict=strict,
        **common.compute,
        **common.method(),
    )
    return run(config, common.run())


def names_on_stdin() -> list[str]:
    """Names of images, one a line. Raises SpadeError where standard input is closed."""
    if sys.stdin is None:
        raise SpadeError("-: standard input is closed, so no names of images come from it; name the images instead.")
    return [line for text in sys.stdin if (line := text.rstrip("\r\n"))]
