"""How base and novel names are compared: at the default odds, and over all odds that novel names may get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spade.models.config import UNSEEN_ODDS
from spade.structures.vocabulary import Vocabulary
from spade.world.dataset import novel_names
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

POWERS = (*range(-6, 7), *range(8, 18, 2))  # so far that novel names get nearly everything
ODDS = (0.0, *(UNSEEN_ODDS * 2.0**power for power in POWERS))  # 0: by their text alone, as learned names are
WHOLE = Vocabulary.of(THINGS, STUFF, PREDICATES)
NOVEL, NOVEL_PREDICATES = (frozenset(names) for names in novel_names("ovdr"))


def shares(answers: Iterable[tuple[bool, bool]]) -> tuple[float, float]:
    """Percent right of base and of novel ones, from (is novel, is right) of each."""
    right: dict[bool, list[bool]] = {False: [], True: []}
    for is_novel, is_right in answers:
        right[is_novel].append(is_right)
    return round(100 * float(np.mean(right[False])), 2), round(100 * float(np.mean(right[True])), 2)


def rates(curve: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Of (base, novel) at each of ``ODDS``: those at the default odds, and the area under base over novel as the odds
    go from nothing to everything.
    """
    points = sorted((n, b) for b, n in curve[1:])
    x, y = ([0.0, *(p[i] for p in points)] for i in (0, 1))
    y[0] = max(y[1:])
    area = float(np.trapezoid([*y, 0.0], [*x, x[-1]])) / 1e4
    pairs = [{"odds": odds, "base": b, "novel": n} for odds, (b, n) in zip(ODDS, curve, strict=True)]
    return means(*curve[ODDS.index(UNSEEN_ODDS)]) | {"area": round(100 * area, 2), "curve": pairs}


def means(base: float, novel: float) -> dict[str, float]:
    """Base, novel and their harmonic mean."""
    harmonic = round(2 * base * novel / (base + novel), 2) if base + novel else 0.0
    return {"base": base, "novel": novel, "harmonic": harmonic}
