"""Model directories: fetched by their hub ids, and fingerprinted; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spade.core.digests import digest
from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash

# Of a model of several parts (diffusers), and of one in a folder of its own (transformers, OpenCLIP).
PARTS_FILES = (
    *("*/config.json", "scheduler/*.json", "tokenizer/*"),
    *("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"),
    "text_encoder/model.safetensors",
)

PLAIN_FILES = ("*.json", "*.txt", "*.safetensors")


def fetch(hub_id: str, patterns: Sequence[str], parameter: str, name: str | None = None) -> Path:
    """The folder of a hub's model on this machine, fetched where it is not there yet: only files that match
    ``patterns``.

    Raises SpadeError, which tells the user of ``name`` (or the id) how to get it, and names the parameter that takes a
    directory.
    """
    from huggingface_hub import snapshot_download

    called = hub_id if name in (None, hub_id) else f"{name}: {hub_id}"
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors share no base with the network's
        raise SpadeError(
            f"{called} is not on this machine and could not be fetched ({type(error).__name__}); "
            f"on a machine with a network run: hf download {hub_id}, or name a directory with {given(parameter)}."
        ) from None


def fingerprint(folder: Path) -> str:
    """Hash of a model directory's files that are loaded: names, sizes and whole contents."""
    facts = []
    patterns = PARTS_FILES if (folder / "unet").is_dir() else PLAIN_FILES
    for path in sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()}):
        facts.append([path.relative_to(folder).as_posix(), path.stat().st_size, digest(path)])
    return canonical_hash(facts)
