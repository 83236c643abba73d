"""Settings of the method: fields of dataclasses that have a default, a meaning and a range, and can be set by name.

A dataclass declares them with ``setting(...)`` and calls ``check(self)`` when it is made. ``configure`` sets fields of
several dataclasses at once, from values or from text; ``listed`` says what there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from spade.core.errors import SpadeError, given

T = TypeVar("T")


def setting(
    default: Any, meaning: str, *, choices: Sequence[str] = (), least: float | None = None, most: float | None = None
) -> Any:
    """A field that can be set by name. ``choices`` of a text (or of each of several), or a range of a number."""
    facts = {"meaning": meaning, "choices": tuple(choices), "least": least, "most": most}
    return field(default=default, metadata=facts)


def execution(default: Any) -> Any:
    """A field that does not change the result and so stays out of an artifact's key."""
    return field(default=default, metadata={"execution": True})


def check(config: Any) -> None:
    """Raise SpadeError naming the first setting whose value is not allowed."""
    for field_ in fields(config):
        if "meaning" in field_.metadata:
            _check(field_.name, getattr(config, field_.name), field_.metadata)


def _check(name: str, value: Any, facts: Mapping[str, Any]) -> None:
    choices, least, most = facts["choices"], facts["least"], facts["most"]
    for part in value if isinstance(value, tuple) else (value,):
        if part is None or isinstance(part, bool):
            continue
        if choices and part not in choices:
            raise SpadeError(f"{given(name, part)}: use {_either(choices)}.")
        if isinstance(part, (int, float)) and not (
            math.isfinite(part) and (least is None or part >= least) and (most is None or part <= most)
        ):
            raise SpadeError(f"{given(name, part)}: use {_range(least, most)}.")


def at_least_one(name: str, value: int | None) -> None:
    """Raise SpadeError for a count below 1; None passes."""
    if value is not None and value < 1:
        raise SpadeError(f"{given(name, value)}: use a number of at least 1.")


def one_of(name: str, value: str, *known: str) -> None:
    """Raise SpadeError for a value that is not among the known ones."""
    if value not in known:
        raise SpadeError(f"{given(name, value)}: use {_either(known)}.")


def _either(known: Sequence[str]) -> str:
    return f"{', '.join(known[:-1])} or {known[-1]}" if known[1:] else known[0]


def _range(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return "a finite number"
    if most is None:
        return f"a number of at least {least:g}"
    return f"a number of at most {most:g}" if least is None else f"a number from {least:g} to {most:g}"


def configure(parts: Mapping[str, T], preset: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, T]:
    """The dataclasses ``parts`` with the values of a preset, then with ``settings``; text is read as its field's type.

    Names of fields are unique among the parts. Raises SpadeError for a name that none of them has, and for a value that
    its dataclass refuses.
    """
    known = {field_.name for part in parts.values() for field_ in _settable(part)}
    for name in settings:
        refuse_unknown(name, known)
    parts_set = {}
    for key, part in parts.items():
        wanted = {**preset, **settings}
        values = {field_.name: read(field_, wanted[field_.name]) for field_ in _settable(part) if field_.name in wanted}
        parts_set[key] = replace(part, **values)  # type: ignore[type-var]
    return parts_set


def check_settings(settings: Mapping[str, Any], *parts: Any) -> None:
    """Raise SpadeError for a name that none of these dataclasses has, or a value outside its own range.

    What depends on several settings is seen where ``configure`` makes the dataclasses.
    """
    known = {field_.name: field_ for part in parts for field_ in _settable(part)}
    for name, value in settings.items():
        refuse_unknown(name, known)
        _check(name, read(known[name], value), known[name].metadata)


def refuse_unknown(name: str, known: Iterable[str]) -> None:
    """Raise SpadeError for a setting that is not among the known ones."""
    names = sorted(known)
    if name not in names:
        raise SpadeError(f"{given(name)}: is no setting here; there are {', '.join(names)}.")


def read(own: Any, value: Any) -> Any:
    """A value as its field's type has it: numbers, true and false, lists with commas, none. Raises SpadeError
    otherwise.
    """
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    kind, text = str(own.type), value.strip()
    if "None" in kind and text.lower() in ("none", ""):
        return None
    try:
        if kind.startswith("tuple"):
            parts = [part.strip() for part in text.split(",") if part.strip() and part.strip() != "none"]
            return tuple(int(part) for part in parts) if "int" in kind else tuple(parts)
        if kind.startswith("bool"):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if kind.startswith("int"):
            return int(text)
        return float(text) if kind.startswith("float") else text
    except (ValueError, KeyError):
        kinds = {"tuple": "a list with commas", "bool": "true or false", "int": "a whole number", "floa": "a number"}
        wanted = next(words for start, words in kinds.items() if kind.startswith(start))
        raise SpadeError(f"{given(own.name, text)}: use {wanted}.") from None


@dataclass(frozen=True)
class Listed:
    """A setting as a person reads of it."""

    name: str
    default: str
    meaning: str


def listed(*parts: Any) -> list[Listed]:
    """All settings of these dataclasses, with the values that they have."""
    rows = []
    for part in parts:
        for field_ in _settable(part):
            value, choices = getattr(part, field_.name), field_.metadata["choices"]
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
            meaning = field_.metadata["meaning"] + (f" ({_either(choices)})" if choices else "")
            rows.append(Listed(field_.name, text, meaning))
    return rows


def _settable(part: Any) -> list[Any]:
    return [field_ for field_ in fields(part) if "meaning" in field_.metadata]


def names_of(*parts: Any) -> frozenset[str]:
    """Names of the settings that these dataclasses have."""
    return frozenset(field_.name for part in parts for field_ in _settable(part))
