"""The table of an open-vocabulary evaluation: all, base and novel triplets, and the harmonic mean of the last two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FAIR = "single-mpo"  # stands beside the protocol of a data set's papers
BY = ("predicates", "objects")


def companion(protocol: str, own: str) -> str:
    """The protocol that is shown beside one: the fair one, or beside that the data set's ``own``."""
    return own if protocol == FAIR else FAIR


def table(summary: Mapping[str, Any], at: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of one protocol: ``part`` (all, base, novel, harmonic mean), ``by`` what a triplet is base or novel
    (predicates; objects: subject and object both), R@K and mR@K as fractions, and the images, triplets and predicates
    over which they are taken.
    """
    names = [f"{name}@{k}" for k in at for name in ("R", "mR")]
    counts = ("images", "triplets", "predicates")
    protocol, denominators = summary["protocol"], summary["denominators"]
    whole = {"images": denominators["R"], "triplets": denominators["triplets"], "predicates": denominators["mR"]}
    rows = [{"protocol": protocol, "part": "all", "by": None} | {n: summary[n] for n in names} | whole]
    for by in BY:
        sides = {side: summary["groups"][f"{side}_{by}"] for side in ("base", "novel")}
        if any(side is None for side in sides.values()):
            continue
        for side, part in sides.items():
            rows.append({"protocol": protocol, "part": side, "by": by} | {n: part[n] for n in (*names, *counts)})
        means = {n: harmonic(sides["base"][n], sides["novel"][n]) for n in names}
        rows.append({"protocol": protocol, "part": "harmonic", "by": by} | means | dict.fromkeys(counts))
    return rows


def harmonic(base: float | None, novel: float | None) -> float | None:
    """The harmonic mean of two fractions; 0 where one is 0, None where one is not known."""
    if base is None or novel is None:
        return None
    return 2 * base * novel / (base + novel) if base and novel else 0.0
