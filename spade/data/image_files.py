"""From what a user names to image files: files, folders, globs; what is passed over is counted, and what an earlier
prediction wrote is taken for no image.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.paths import user_path
from spade.core.text import counted
from spade.data.images import extensions
from spade.structures.scene_graph_json import is_drawing_of_graph


@dataclass
class FoundImages:
    """Image files in order, and how many others were passed over, by the reason."""

    paths: list[Path] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # names that lead to none

    def pass_over(self, reason: str) -> None:
        """Count one more."""
        self.passed_over[reason] = self.passed_over.get(reason, 0) + 1


OWN_FILES, OTHER_KINDS = "of earlier predictions (maps, figures, results)", "not called like an image"


def find_images(name: str | Path, found: FoundImages, workspace: Path | None = None, alone: bool = True) -> None:
    """Add the image files that a name leads to: a file, a folder's images, or a glob. Raises SpadeError when there is
    none.

    A file that is named ``alone`` is always taken. Of several, and in folders and globs, those that lie in a result of
    a workspace, or that an earlier prediction wrote beside its graph, are passed over.
    """
    path, before, passed = user_path(name), len(found.paths), sum(found.passed_over.values())
    if path.is_dir():
        _in_folder(path, workspace, found)
    elif _is_file(path):
        if not alone and is_own_file(path, workspace):
            found.pass_over(OWN_FILES)
            return
        found.paths.append(path)
    else:
        for other in sorted(Path(p) for p in glob.glob(str(path), recursive=True)):
            if other.is_file():
                _take(other, workspace, found, by_name=False)
    if len(found.paths) == before:
        what = f" ({_counted(found)})" if sum(found.passed_over.values()) > passed else ""
        raise SpadeError(f"{name}: no image there{what}; name an image file, a folder of images or a data set.")


def _is_file(path: Path) -> bool:
    """Whether it is a file, readable or not; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def passed_over(found: FoundImages) -> str:
    """What to say of files that were passed over; nothing where there were none."""
    return f"passed over: {_counted(found)}" if found.passed_over else ""


def _counted(found: FoundImages) -> str:
    return ", ".join(f"{counted(count, 'file')} {reason}" for reason, count in found.passed_over.items())


def _in_folder(folder: Path, workspace: Path | None, found: FoundImages) -> None:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise SpadeError(
            f"{folder}: this folder cannot be read ({error.strerror}); mend that or leave it out."
        ) from None
    for path in inside:
        if _is_file(path):
            _take(path, workspace, found, by_name=True)
        elif not path.is_dir():
            found.pass_over("that cannot be opened")


def _take(path: Path, workspace: Path | None, found: FoundImages, by_name: bool) -> None:
    """One file of a folder, which must be an image by its name, or of a glob, whose name says what is wanted."""
    if is_own_file(path, workspace):
        found.pass_over(OWN_FILES)
    elif by_name and path.suffix.lower() not in extensions():
        found.pass_over(OTHER_KINDS)
    else:
        found.paths.append(path)


def is_own_file(path: Path, workspace: Path | None = None) -> bool:
    """Whether a file lies in a workspace's result, or is the map or the figure of a scene graph beside it."""
    place = path.absolute().parent
    if workspace is not None and place.is_relative_to(workspace.absolute()) and _is_result_below(place, workspace):
        return True
    return any(_is_result(folder) for folder in _up_to(place, 3)) or is_drawing_of_graph(path)


def _is_result_below(place: Path, workspace: Path) -> bool:
    """Whether a folder of a workspace is of a step: a data set may lie in a workspace, too."""
    parts = place.relative_to(workspace.absolute()).parts
    return len(parts) >= 2 and (workspace / parts[0] / parts[1] / ".lock").exists()


def _up_to(place: Path, count: int) -> Iterator[Path]:
    yield place
    yield from list(place.parents)[: count - 1]


@cache
def _is_result(folder: Path) -> bool:
    """Whether a folder is the result of a step, by its manifest."""
    try:
        with open(folder / "manifest.json", "rb") as file:
            document = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"step", "key", "files"} <= document.keys()


def file_text(path: Path) -> str:
    """A file's name as text that any file can hold: bytes that are no UTF-8 are shown as U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")
