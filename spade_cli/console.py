"""What a person sees while a command runs: messages and progress bars on stderr, results on stdout."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from spade.core.errors import SpadeWarning

T = TypeVar("T")


class Console:
    """Messages to stderr; silent with ``quiet``; progress bars only where stderr is a terminal."""

    def __init__(self, quiet: bool = False, verbose: bool = False, spell: Callable[[str], str] = str) -> None:
        self.spell = spell  # parameters of the library as options of the command
        # Of several processes (torchrun, accelerate launch) only the first speaks.
        self.quiet = quiet or os.environ.get("RANK", "0") != "0"
        self.verbose = verbose

    def say(self, message: str) -> None:
        """One line for the person in front of the terminal."""
        if not self.quiet and sys.stderr is not None:
            with suppress(OSError):  # nobody is there to read it; the work goes on
                print(printable(self.spell(message)).replace("\n", " "), file=sys.stderr, flush=True)

    def detail(self, message: str) -> None:
        """A line that only ``-v`` shows."""
        if self.verbose:
            self.say(message)

    def track(self, items: Iterable[T], label: str, total: int | None = None, done: int = 0) -> Iterator[T]:
        """Iterate with a progress bar: count, rate and remaining time."""
        if self.quiet or sys.stderr is None or not sys.stderr.isatty():
            yield from items
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        count = total if total is not None else len(items)  # type: ignore[arg-type]
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=RichConsole(stderr=True), transient=False) as bar:
            task = bar.add_task(label, total=count, completed=done, rate="")
            for item in items:
                yield item
                speed = bar.tasks[0].speed
                bar.update(task, advance=1, rate=f"{speed:.1f}/s" if speed else "")


@contextmanager
def notes(console: Console) -> Iterator[None]:
    """Show the library's warnings as lines of the console; those of other libraries as ever."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any) -> None:
            if issubclass(category, SpadeWarning):
                console.say(f"note: {message}")
            else:
                shown(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def printable(text: str) -> str:
    """A text for the terminal: control characters, which could move the cursor or change colours, are shown as
    codes.
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
