"""Pages and drawings from templates; every value is escaped unless it was made by a template itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from spade.core.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment


def render(name: str, **values: Any) -> Markup:
    """A template of the package with values, as a part that other templates take as it is; a value that it lacks is an
    error of ours.
    """
    return Markup(_environment().get_template(name).render(**values))


def asset(name: str) -> Markup:
    """A file of the package that goes into a page as it is: our own style sheet or script."""
    return Markup(_text(name))


def jpeg_uri(image: Image.Image, longest: int, quality: int = 80) -> str:
    """An image as a data URI, at most ``longest`` pixels along its longer side."""
    small = image.convert("RGB")
    small.thumbnail((longest, longest))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"n": number, "pair": _pair, "points": _points, "line": one_line, "percent": percent}
    return made


def number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent; a dash for what does not exist."""
    return "\u2013" if value is None else f"{100 * value:.{digits}f}"


def _pair(point: Sequence[float]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _points(line: Iterable[Sequence[float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in line)


def _text(name: str) -> str:
    return resources.files("spade").joinpath("assets", "templates", name).read_text("utf-8")
