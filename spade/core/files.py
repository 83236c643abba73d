"""Files that are either whole or absent: a temporary name, fsync, rename."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from spade.core.errors import SpadeError
from spade.core.file_kinds import what_it_is

TEMPORARY = ".partial"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a killed process leaves the old one or the new one, never a part.

    Raises SpadeError when the place cannot be written to.
    """
    write_chunks(path, (data,))


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file, whole or not at all, whose content need not fit into memory."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # What a folder that is a file answers: its place is taken, whatever the system calls that.
        reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise SpadeError(f"{path}: cannot be written ({reason}); choose another place or free some space.") from None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8", "replace"))  # a file name may hold what is no text


def write_json(path: Path, data: Any) -> None:
    """Write indented json atomically; NaN is refused."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write one json document a line, atomically."""
    write_chunks(
        path, ((json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8", "replace") for row in rows)
    )


def read_json(path: Path, what: str, remedy: str) -> Any:
    """Read a json file that the user named; SpadeError says what is wrong and the remedy."""
    try:
        content = path.read_bytes()
        return json.loads(content)
    except FileNotFoundError:
        raise SpadeError(f"{path}: no such {what}; {remedy}") from None
    except OSError as error:
        raise SpadeError(f"{path}: this {what} cannot be read ({error.strerror}); {remedy}") from None
    except (ValueError, RecursionError) as error:
        if (found := what_it_is(content[:100])) is not None:
            raise SpadeError(f"{path}: is {found[0]}, and no {what}; {found[1]}, or {remedy}") from None
        reason = str(error).splitlines()[0][:120]
        raise SpadeError(f"{path}: this {what} is not valid json ({reason}); {remedy}") from None


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_hash(data: Any) -> str:
    """Hex sha256 of canonical json: sorted keys, no spaces, no NaN; refuses what json cannot carry."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def inside(root: Path, name: str, source: Path) -> Path:
    """``root/name`` for a name found in a file of foreign origin.

    Raises SpadeError for an absolute name, a drive or a "..": such a name could leave ``root``; and for one that no
    file system holds.
    Links inside ``root`` are the user's own and are followed.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not name or "\x00" in name or name.startswith(("/", "\\")) or ".." in parts or re.match(r"^[A-Za-z]:", name):
        raise SpadeError(f'{source}: the path "{name[:80]}" leaves its folder; paths must lie below {root}.')
    try:
        lengths = [len(os.fsencode(part)) for part in parts]
    except UnicodeError:
        raise SpadeError(f"{source}: the file name {name[:80]!a} is no valid text; write it again.") from None
    if max(lengths, default=0) > 255 or len(name) > 2000:
        raise SpadeError(f'{source}: the file name "{name[:40]}..." is too long for a file system; shorten it.')
    return root.joinpath(*parts)
