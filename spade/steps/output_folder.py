"""A folder that the user names for results: what is written there replaces nothing that is not ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from spade.core.digests import digest
from spade.core.errors import SpadeError, given
from spade.core.workspace import Workspace


def refuse_foreign(output: Path, names: Sequence[str], inputs: Iterable[Path], step: str, workspace: Workspace) -> None:
    """Raise SpadeError, naming the first file, where one of ``names`` in the folder is an input of this run, or is not,
    by its hash, what an earlier run of ``step`` in this workspace wrote.
    """
    if output.exists() and not output.is_dir():
        raise SpadeError(f"{output}: is a file; name a folder with {given('output')}.")
    taken = [output / name for name in names if os.path.lexists(output / name)]
    if not taken:
        return
    used = {path.resolve() for path in inputs}
    for path in taken:
        if path.resolve() in used:
            raise SpadeError(
                f"{path}: is an input of this run and would be replaced; choose another {given('output')}."
            )
    written = {
        facts["sha256"] for artifact in workspace.artifacts(step) for facts in artifact.manifest["files"].values()
    }
    for path in taken:
        if path.is_symlink() or not path.is_file() or digest(path) not in written:
            raise SpadeError(
                f"{path}: is there and was not written by {step} of this workspace; choose another {given('output')}."
            )


def copy_files(source: Path, names: Sequence[str], output: Path) -> None:
    """Copy files of an artifact to the folder. Raises SpadeError where it cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy2(source / name, output / name)
    except OSError as error:
        raise SpadeError(f"{output}: cannot be written ({error.strerror}); choose another {given('output')}.") from None
