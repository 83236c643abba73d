"""Weights from safetensors files into modules."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from spade.errors import SpadeError


def load_weights(module: nn.Module, path: Path, remedy: str) -> None:
    """Fill a module from a file, in float32. Raises SpadeError where the file is missing, damaged or of another shape."""
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        module.load_state_dict(weights)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise SpadeError(f"{path}: these weights cannot be loaded ({reason}); {remedy}") from None
