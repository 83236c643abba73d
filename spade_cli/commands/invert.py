"""``spade invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options, numbers_list


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("invert", epilog="Example: spade invert data/psg --steps 50")(common_options(invert))


def invert(
    common: Common,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with psg.json (or psg_train_val.json, psg_val_test.json), or such a file, also .json.gz.",
        ),
    ],
    backbone: Annotated[
        str, typer.Option(help="tiny, sd15, sd21, a directory in diffusers' format, or a hub id.")
    ] = "tiny",
    clip: Annotated[
        str,
        typer.Option(
            help="OpenCLIP model for the later steps and --counterfactual: tiny, a directory, or hf-hub:owner/name."
        ),
    ] = "",
    steps: Annotated[
        int, typer.Option(min=0, help="DDIM steps from the picture to noise (0: the backbone's default).")
    ] = 0,
    read_at: Annotated[
        str, typer.Option(help="Timesteps at which maps are read, with commas; the nearest step counts.")
    ] = "",
    grids: Annotated[
        str,
        typer.Option(help="Cross-attention grids to read, as strides in latent cells, with commas, for example 1,2."),
    ] = "",
    read: Annotated[
        str, typer.Option(help="inversion or resampling: read on the way to noise, or while sampling back from it.")
    ] = "inversion",
    latents: Annotated[
        str,
        typer.Option(
            help="inverted; or, to compare with: noised (noise added to the picture's) or random (noise alone)."
        ),
    ] = "inverted",
    keep: Annotated[
        str, typer.Option(help="spans: a map a mention; tokens: also one a token, for calibrate --alignment index.")
    ] = "spans",
    counterfactual: Annotated[
        int,
        typer.Option(
            min=0,
            help=(
                "Also read the N related pairs farthest apart under prompts made wrong, for calibrate --counterfactual."
            ),
        ),
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Pictures a batch (0: the backbone's default).")] = 0,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, if not beside the annotations.")] = None,
    split: Annotated[str, typer.Option(help="train, test or all.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A bad record or picture is an error.")] = False,
) -> StepResult:
    """Invert each training image under its relation prompt; keep where each label's words looked."""
    from spade.diffusion.config import InvertConfig
    from spade.steps.invert import run

    config = InvertConfig(
        data=data,
        images=images,
        backbone=backbone,
        clip=clip,
        steps=steps,
        read_at=numbers_list(read_at, "--read-at"),
        batch_size=batch_size,
        grids=numbers_list(grids, "--grids"),
        read=read,
        latents=latents,
        keep=keep,
        counterfactual=counterfactual,
        split=split,
        limit=limit,
        strict=strict,
        **common.numbers,
    )
    return run(config, common.run())
