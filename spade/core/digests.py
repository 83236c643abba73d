"""Hashes of whole files, each made once: remembered by path, size and the times of the last change.

What a result depends on is compared by content. PSG's 23 GB of images, or a model's weights, are hashed the first time
that a step asks, and again only where a file changed. The memory is a small database of the user's, no part of any
workspace; where it cannot be written, files are hashed every time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.files import sha256_file
from spade.core.paths import user_path
from spade.core.progress import Reporter

if TYPE_CHECKING:
    import sqlite3

YOUNG = 2.0  # seconds since a change; a file may change again within the clock's tick
MANY = 200  # files that are hashed with a progress bar
_turn = threading.Lock()


def digest(path: Path) -> str:
    """Hex sha256 of a file's content. Raises OSError where it cannot be read."""
    facts = path.stat()
    # Of the inode as much as the database's numbers hold: some file systems have larger ones.
    known = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino & (1 << 63) - 1)
    name = os.fsencode(os.path.realpath(path))
    memory = _memory()
    if memory is None:
        return sha256_file(path)
    with _turn, suppress(_errors()):
        row = memory.execute("SELECT * FROM digests WHERE path = ?", (name,)).fetchone()
        if row is not None and tuple(row[1:5]) == known:
            return str(row[5])
    content = sha256_file(path)
    if time.time() - max(facts.st_mtime, facts.st_ctime) > YOUNG:
        with _turn, suppress(_errors()):
            memory.execute("REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", (name, *known, content))
    return content


def digests(paths: Sequence[Path], report: Reporter | None = None) -> list[str | None]:
    """Of many files, None for one that is not there or cannot be read; whoever reads it says why."""
    tracked: Iterable[Path] = paths
    if report is not None and len(paths) > MANY:
        tracked = report.track(paths, "hash", total=len(paths))
    return [_digest_or_none(path) for path in tracked]


def _digest_or_none(path: Path) -> str | None:
    try:
        return digest(path)
    except OSError:
        return None


def cache_folder() -> Path:
    """Where the user's caches lie: SPADE_CACHE, or the system's place for them."""
    if folder := os.environ.get("SPADE_CACHE"):
        return user_path(folder)
    if sys.platform == "win32":
        return user_path(os.environ.get("LOCALAPPDATA") or Path.home()) / "spade"
    return user_path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spade"


def _memory() -> sqlite3.Connection | None:
    try:
        return _opened(cache_folder())
    except RuntimeError:  # there is no home
        return None


@cache
def _opened(folder: Path) -> sqlite3.Connection | None:
    """The database of this process; None where it cannot be used."""
    import sqlite3

    try:
        folder.mkdir(parents=True, exist_ok=True)
        memory = sqlite3.connect(folder / "digests.sqlite", timeout=5, isolation_level=None, check_same_thread=False)
        memory.execute("PRAGMA journal_mode = WAL")
        memory.execute("PRAGMA synchronous = OFF")  # what is lost is hashed again
        memory.execute(
            "CREATE TABLE IF NOT EXISTS digests "
            "(path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, sha256 TEXT)"
        )
        return memory
    except (OSError, sqlite3.Error):
        return None


def _errors() -> type[Exception]:
    import sqlite3

    return sqlite3.Error
