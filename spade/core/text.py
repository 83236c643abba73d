"""Texts as people see them."""

from __future__ import annotations

import re

from spade.core.errors import SpadeError

# Controls, separators of lines, and halves of characters, which no UTF-8 holds. Bidirectional and joining characters
# are text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def control_in(text: str) -> str | None:
    """The first character of a label that is no text; None where all are."""
    match = _CONTROL.search(text)
    return None if match is None else match[0]


def refuse_control(text: str, where: str) -> None:
    """Raise SpadeError, naming ``where``, for a label with a character that is no text."""
    if (character := control_in(text)) is not None:
        raise SpadeError(f"{where}: {text[:60]!a} holds the control character {character!a}; remove it.")


def one_line(text: str, longest: int = 28) -> str:
    """A label as it is shown: on one line, without control characters, not longer than there is room for."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= longest else line[: longest - 1] + "\u2026"


def counted(number: int, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {what if number == 1 else what + 's'}"
