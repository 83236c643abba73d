"""Checks of values that several configs share; each names the parameter and the remedy."""

from __future__ import annotations

import math
from dataclasses import field, fields
from typing import Any

from spade.core.errors import SpadeError


def execution(default: Any) -> Any:
    return field(default=default, metadata={"execution": True})


def default_of(config: type, name: str) -> Any:
    return next(own.default for own in fields(config) if own.name == name)


def option_name(name: str, value: Any) -> str:
    """A field as the command line has it; of a switch that is off, the word that turns it off."""
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def positive_or_default(**values: int | None) -> None:
    """None and 0 (the preset) pass, except that a limit or a count of 0 images would leave nothing."""
    for name, value in values.items():
        if value is not None and (value < 0 or (value == 0 and name in ("limit", "top"))):
            raise SpadeError(f"--{name.replace('_', '-')} {value}: use a number of at least 1.")


def learning_rate_at_least_0(value: float) -> None:
    if not 0 <= value < math.inf:
        raise SpadeError(f"--learning-rate {value}: use a number above 0, or 0 for the default.")


def at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise SpadeError(f"{option} {value}: use a number of at least 1.")


def one_of(option: str, value: str, *known: str) -> None:
    if value not in known:
        raise SpadeError(f"{option} {value}: use {', '.join(known[:-1])} or {known[-1]}.")
