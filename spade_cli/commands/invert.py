"""``spade invert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, add, numbers_list

DATA = (
    "Folder with psg.json (or psg_train_val.json, psg_val_test.json; also .json.gz), VG-SGG-with-attri.h5, or COCO's "
    "train.json and test.json with relations; or such a file."
)
IMAGES = "Folder of the images, if not beside the annotations."
SPLIT_LIST = (
    "Names that are kept from training: pgsg, ovsgtr, psg-objects-v1, world or a json file; :ovd (objects), :ovr "
    "(predicates) or :ovdr behind it keeps a part, + joins several (default: what the data set's file calls novel)."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    groups = ("device", "dtype", "seed", "force", "preset", "settings")
    add(app, "invert", invert, "spade invert data/psg --steps 50", groups, "InvertConfig")


def invert(
    common: Common,
    data: Annotated[Path, typer.Argument(metavar="DATA", help=DATA)],
    backbone: Annotated[
        str, typer.Option(help="tiny, sd15, sd21, a directory in diffusers' format, or a hub id.")
    ] = "tiny",
    clip: Annotated[
        str | None,
        typer.Option(
            help="OpenCLIP model of the later steps: tiny, a directory, or hf-hub:owner/name (default: the backbone's)."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="DDIM steps from the image to noise (default: the backbone's).")
    ] = None,
    read_at: Annotated[
        str | None,
        typer.Option(
            help="Timesteps at which maps are read, with commas; the nearest step counts (default: the backbone's)."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per batch (default: the backbone's).")] = None,
    images: Annotated[Path | None, typer.Option(help=IMAGES)] = None,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "train",
    split_list: Annotated[str | None, typer.Option(metavar="NAME|FILE", help=SPLIT_LIST)] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A bad record or image is an error.")] = False,
) -> StepResult:
    """Invert each training image under its relation prompt; keep where each label's words looked."""
    from spade.steps.config import InvertConfig
    from spade.steps.invert import run

    timesteps = None if read_at is None else numbers_list(read_at, "--read-at")
    config = InvertConfig(
        data=data,
        images=images,
        backbone=backbone,
        clip=clip,
        split=split,
        split_list=split_list,
        limit=limit,
        strict=strict,
        seed=common.seed,
        preset=common.preset.value,
        **common.compute,
        **common.method(steps=steps, read_at=timesteps, batch_size=batch_size),
    )
    return run(config, common.run())
