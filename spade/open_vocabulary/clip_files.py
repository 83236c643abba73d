"""Where an OpenCLIP model lies; nothing heavy is imported here."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.hub import fetch
from spade.core.paths import user_path


def resolve_clip(source: str) -> Path:
    """The directory of an OpenCLIP model: a directory, or ``hf-hub:owner/name``. Raises SpadeError with the remedy.

    Only safetensors weights are taken.
    """
    if source == "tiny":
        folder = Path(str(resources.files("spade").joinpath("assets/tiny/clip")))
    elif source.startswith("hf-hub:"):
        folder = fetch(
            source.removeprefix("hf-hub:"), ["*.json", "*.txt", "open_clip_model.safetensors"], "clip", source
        )
    else:
        folder = user_path(source)
    if not (folder / "open_clip_config.json").is_file() or not (folder / "open_clip_model.safetensors").is_file():
        raise SpadeError(
            f"{source}: is no OpenCLIP model (open_clip_config.json and open_clip_model.safetensors); "
            "name a directory or hf-hub:owner/name with `clip`."
        )
    return folder
