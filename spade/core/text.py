"""Texts as people see them."""

from __future__ import annotations


def one_line(text: str, longest: int = 28) -> str:
    """A label as it is shown: on one line, without control characters, not longer than there is room for."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= longest else line[: longest - 1] + "\u2026"


def counted(number: int, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {what if number == 1 else what + 's'}"
