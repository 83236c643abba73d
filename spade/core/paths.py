"""One rule for names of files, wherever they come from: a command line, a variable, Python, or a file of somebody's."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any


def user_path(name: str | os.PathLike[str]) -> Path:
    """A path as the user means it: "~" is the home folder, whether or not a shell has seen it; relative ones begin at
    the working directory.
    """
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # a user, or a home, that is not there: a folder may be called so
        return path


def expanded(value: Any) -> Any:
    """An option's value with "~" expanded in paths, alone or in a list."""
    if isinstance(value, Path):
        return user_path(value)
    if isinstance(value, list):
        return [expanded(part) for part in value]
    return value


def base_name(name: str) -> str:
    """The last part of a name that a file of foreign origin gives: both slashes separate, as annotation is written on
    Windows, too.
    """
    return PurePosixPath(name.replace("\\", "/")).name
