"""Tensors to safetensors bytes and back into modules."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from spade.core.errors import SpadeError
from spade.core.file_kinds import kind_of


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file whose bytes depend on its content alone."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return settled(save(plain, dict(metadata) if metadata else None))


def settled(data: bytes) -> bytes:
    """A safetensors file with its metadata in order; the library writes them in another order each time."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def read_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    """A file's tensors as they are. Raises SpadeError where it is missing or damaged."""
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise SpadeError(f"{path}: these tensors cannot be loaded ({_reason(path, error)}); {remedy}") from None


def load_weights(module: nn.Module, path: Path, remedy: str) -> None:
    """Fill a module from a file, in float32. Raises SpadeError where the file is missing, damaged or of another
    shape.
    """
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        module.load_state_dict(weights)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise SpadeError(f"{path}: these weights cannot be loaded ({_reason(path, error)}); {remedy}") from None


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, SafetensorError) and (found := kind_of(path)) is not None:
        return f"the file is {found[0]}; {found[1]}"
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
