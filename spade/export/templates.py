"""Pages and drawings from templates; every value is escaped unless it was made by a template itself."""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image


def render(name: str, **values: Any) -> str:
    """A template of the package with values; a value that it lacks is an error of ours."""
    return _environment().get_template(name).render(**values)


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
    return Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _text(name: str) -> str:
    return resources.files("spade").joinpath("assets", "templates", name).read_text("utf-8")
