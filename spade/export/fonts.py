"""Fonts for labels of any script: DejaVu Sans, which comes with matplotlib, and for characters that it lacks the first
of the system's fonts that has them.
"""

from __future__ import annotations

import re
import warnings
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from spade.core.errors import SpadeWarning

FAMILY = "DejaVu Sans"
# Latin, Greek and Cyrillic, which DejaVu Sans has whole; of others a font's table of characters is asked.
_SURELY_THERE = 0x0530
_MISSING = "\u25a1"
_WORDS = re.compile(r"\s+|\S+")
# Of many that have a character, those that people read most easily.
_PREFERRED = ("notosans", "sourcehansans", "msyh", "pingfang", "hiragino", "segoeui", "arialuni")


Run = tuple[str, ImageFont.FreeTypeFont]  # a piece of text, and the font that has its characters


def text_width(text: str, size: int) -> float:
    """The width of a line of text in pixels."""
    return sum(font.getlength(piece) for piece, font in typeset(text, size))


@lru_cache(maxsize=4096)
def typeset(text: str, size: int) -> tuple[Run, ...]:
    """A line of text in pieces, each with the font that writes it: a label may mix scripts. Characters that no
    installed font has become boxes, of which one warning a text tells.
    """
    if all(ord(c) < _SURELY_THERE for c in text):
        return ((text, _font(_own(), size)),) if text else ()
    pieces: list[tuple[str, Path]] = []
    lacking = False
    for word in _WORDS.findall(text):
        path = _file_for(frozenset(c for c in word if ord(c) >= _SURELY_THERE))
        known = _characters(path)
        shown = "".join(c if ord(c) < _SURELY_THERE or ord(c) in known else _MISSING for c in word)
        if shown != word:
            lacking, path = True, _own()
        if pieces and (pieces[-1][1] == path or word.isspace()):
            pieces[-1] = (pieces[-1][0] + shown, pieces[-1][1])
        else:
            pieces.append((shown, path))
    if lacking:
        _tell(text)
    return tuple((piece, _font(path, size)) for piece, path in pieces)


@cache
def _file_for(wanted: frozenset[str]) -> Path:
    """The font file that has most of these characters; our own where another has no more."""
    codes, best = {ord(c) for c in wanted}, _own()
    most = len(codes & _characters(best)) if codes else 0
    if most == len(codes):
        return best
    for path in _installed():
        count = len(codes & _characters(path))
        if count > most:
            best, most = path, count
            if most == len(codes):
                break
    return best


@cache
def _own() -> Path:
    found = find_spec("matplotlib")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _installed() -> list[Path]:
    """The system's fonts; asked only where our own lacks a character. matplotlib's own list would be of the day when it
    was first made.
    """
    from matplotlib.font_manager import findSystemFonts

    def rank(path: Path) -> tuple[int, bool, str]:
        name = path.stem.lower()
        place = next((n for n, family in enumerate(_PREFERRED) if name.startswith(family)), len(_PREFERRED))
        return place, "regular" not in name, name

    return sorted(map(Path, findSystemFonts()), key=rank)


@cache
def _characters(path: Path) -> frozenset[int]:
    """The characters that a font has; none for one that cannot be opened or scaled."""
    from matplotlib.ft2font import FT2Font

    try:
        _font(path, 12)
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _tell(text: str) -> None:
    """Say once of each text that it cannot be drawn."""
    warnings.warn(
        f"{text!r}: no installed font has all of its characters; figures show boxes in their place (the Noto fonts "
        "have most).",
        SpadeWarning,
        stacklevel=2,
    )
