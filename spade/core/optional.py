"""Packages that a user may have: asked for when they are needed, and never by an import of ours."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spade.core.errors import SpadeError


def optional(name: str, needed_by: str) -> Any:
    """The module of this name. Raises SpadeError, with the command that installs it, where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise SpadeError(f"{needed_by}: needs {name}, which is not installed; install it: pip install {name}") from None
