"""Where a panoptic model for transformers lies; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.files import read_json
from spade.core.hub import fetch
from spade.core.paths import user_path

_FILES = ["*.json", "*.txt", "*.safetensors"]

# Of transformers' universal segmentation; others pad and answer in ways of their own.
KINDS = ("mask2former", "maskformer", "oneformer", "eomt")
# Short names of hub models that know COCO's 133 classes.
HUB = {f"coco-{size}": f"facebook/mask2former-swin-{size}-coco-panoptic" for size in ("tiny", "small", "base", "large")}
# Where a segmenter keeps how images are prepared: transformers 5 may write the second alone.
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def resolve_segmenter(source: str) -> Path:
    """The directory of a segmenter: a directory, a short name, or a hub id. Raises SpadeError with the remedy."""
    folder = user_path(source)
    if not folder.is_dir():
        source = HUB.get(source, source)
    if not folder.is_dir():
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise SpadeError(
                f"{source}: no such segmenter; name a directory, {', '.join(HUB)}, or a hub id like "
                "tue-mps/coco_panoptic_eomt_large_640."
            )
        folder = fetch(source, _FILES, "segmenter")
    remedy = "name a panoptic model in transformers' format with `segmenter`."
    facts = read_json(folder / "config.json", "part of a segmenter", remedy)
    kind = facts.get("model_type") if isinstance(facts, dict) else None
    if kind not in KINDS:
        raise SpadeError(
            f"{folder}: is a model of type {kind!r}; `segmenter` takes {', '.join(KINDS)}, whose outputs are known."
        )
    if kind != "eomt":  # which builds its vision transformer itself, whatever name its config gives it
        _refuse_foreign_backbone(folder / "config.json", facts)
    there = [name for name in PROCESSOR_FILES if (folder / name).is_file()]
    read_json(folder / (there or PROCESSOR_FILES)[0], "part of a segmenter", remedy)
    if not list(folder.glob("*.safetensors")):
        raise SpadeError(
            f"{folder}: has no weights in safetensors, the only kind that is loaded; choose another `segmenter`."
        )
    return folder


def _refuse_foreign_backbone(path: Path, facts: dict[str, Any]) -> None:
    """Raise SpadeError for a backbone that transformers or timm would look up on a hub, whatever it was told of local
    files.
    """
    backbone = facts.get("backbone_config")
    if facts.get("backbone") is not None and not backbone:
        name = str(facts["backbone"])[:60]
        raise SpadeError(
            f"{path}: names its backbone ({name}) without a backbone_config, which would be looked up on a hub; "
            "choose another `segmenter`."
        )
    if isinstance(backbone, dict) and str(backbone.get("model_type", "")).startswith("timm"):
        raise SpadeError(
            f"{path}: its backbone is of timm, which could look it up on a hub; choose another `segmenter`."
        )
