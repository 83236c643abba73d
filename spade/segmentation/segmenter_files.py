"""Where a panoptic model for transformers lies; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.files import read_json
from spade.core.hub import fetch

_FILES = ["*.json", "*.txt", "*.safetensors"]

KINDS = (
    "mask2former",
    "maskformer",
    "oneformer",
)  # of transformers' universal segmentation; others pad and answer in ways of their own


def resolve_segmenter(source: str) -> Path:
    """The directory of a segmenter: a directory, or a hub id. Raises SpadeError with the remedy."""
    folder = Path(source)
    if not folder.is_dir():
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise SpadeError(
                f"{source}: no such segmenter; name a directory, or a hub id like "
                "facebook/mask2former-swin-tiny-coco-panoptic."
            )
        folder = fetch(source, _FILES, "segmenter")
    for name in ("config.json", "preprocessor_config.json"):
        facts = read_json(
            folder / name, "part of a segmenter", "name a panoptic model in transformers' format with `segmenter`."
        )
        kind = facts.get("model_type") if isinstance(facts, dict) and name == "config.json" else KINDS[0]
        if kind not in KINDS:
            raise SpadeError(
                f"{folder}: is a model of type {kind!r}; `segmenter` takes {', '.join(KINDS)}, whose outputs are known."
            )
        if isinstance(facts, dict) and name == "config.json":
            _refuse_foreign_backbone(folder / name, facts)
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
