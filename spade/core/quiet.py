"""Other libraries' remarks and loading bars, kept off stderr for a while; their errors still raise."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hushed(*libraries: Any) -> Iterator[None]:
    """Hush libraries by their own logging modules, as diffusers and transformers have them; then all is as before."""
    before = [(library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    try:
        for library in libraries:
            library.set_verbosity(logging.ERROR)
            library.disable_progress_bar()
        yield
    finally:
        for library, verbosity, bars in before:
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()


@contextmanager
def no_root_handler() -> Iterator[None]:
    """Keep a library that logs to the root logger from installing a handler there, which would print what others log
    from then on.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class LoggerLevel:
    """A logger at another level while anyone is inside; threads may be so at the same time."""

    def __init__(self, name: str, level: int) -> None:
        self._logger, self._level = logging.getLogger(name), level
        self._lock, self._inside, self._before = threading.Lock(), 0, logging.NOTSET

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = self._logger.level
                self._logger.setLevel(self._level)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._logger.setLevel(self._before)


TIFFFILE = LoggerLevel("tifffile", logging.CRITICAL)  # what is wrong with a file is said once, by us
