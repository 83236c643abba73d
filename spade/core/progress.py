"""What a step says while it runs; the command line shows it, a library call stays silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """Messages for people and progress of long loops."""

    def say(self, message: str) -> None:
        """A line that people should see."""

    def detail(self, message: str) -> None:
        """A line for those who asked for more."""

    def track(self, items: Iterable[T], label: str, total: int | None = None, done: int = 0) -> Iterator[T]:
        """Iterate, showing count, rate and remaining time."""


class Silent:
    """A reporter that says nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def detail(self, message: str) -> None:
        """Nothing."""

    def track(self, items: Iterable[T], label: str, total: int | None = None, done: int = 0) -> Iterator[T]:
        """Plain iteration."""
        yield from items
