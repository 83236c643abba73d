"""Models by their hub ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spade.core.errors import SpadeError


def fetch(hub_id: str, patterns: Sequence[str], option: str, name: str | None = None) -> Path:
    """The folder of a hub's model on this machine, fetched where it is not there yet: only files that match the
    patterns.

    Raises SpadeError, which tells the user of ``name`` (or the id) how to get it, and names the option that takes a
    directory.
    """
    from huggingface_hub import snapshot_download

    told = hub_id if name in (None, hub_id) else f"{name}: {hub_id}"
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors share no base with the network's
        raise SpadeError(
            f"{told} is not on this machine and could not be fetched ({type(error).__name__}); "
            f"on a machine with a network run: hf download {hub_id}, or name a directory with {option}."
        ) from None
