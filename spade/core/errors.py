"""The one exception, and the one warning, that a user is meant to read."""

from __future__ import annotations

from typing import Any


class SpadeError(Exception):
    """A mistake the user can mend: one sentence with the file, the value and the remedy.

    A parameter is written as ``given(name, value)`` writes it, so that the command line, which shows the message
    without a traceback and exits with ``exit_code``, can spell it as its own option.
    """

    exit_code = 2


class SpadeWarning(UserWarning):
    """What is done as asked, though the user may not want it so: one sentence."""


def given(name: str, value: Any = None) -> str:
    """A parameter in a message: "`rank=0`", or "`rank`" where its value does not matter."""
    if value is None:
        return f"`{name}`"
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if isinstance(value, float):
        text = f"{value:g}"  # as one types it
    return f"`{name}={text}`"


def reason_of(error: Exception) -> str:
    """What is wrong with data that an error of Python met, in words for a sentence: no names of types."""
    text = (str(error).splitlines() or [""])[0][:160]
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a field is of another type than it should be"
    if isinstance(error, OverflowError):
        return "a number is too large"
    if isinstance(error, ValueError) and "invalid literal" in text:
        return f"{text.rpartition(': ')[2]} is no number"
    return text or "nothing more is known"
