"""How sure a figure is: the bootstrap over images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spade.evaluation.scoring.quality import Quality
from spade.evaluation.scoring.recall import Recalls

RESAMPLES, CHUNK = 1000, 100
Replicates = dict[str, np.ndarray]


def replicates(
    recalls: Recalls, places: np.ndarray, quality: Quality | None, quality_places: np.ndarray, images: int, seed: int
) -> Replicates:
    """R@K, mR@K and PQ of ``RESAMPLES`` draws of ``images`` images with replacement: a (B,) array each, NaN where
    undefined.

    ``positions`` (I,) and ``quality_places`` (J,) say which of the images each row of ``recalls`` and ``quality`` is.
    The draws depend on ``images`` and ``seed`` alone, so those of two systems on one data set are paired. Predicates
    and classes that a draw does not contain are left out of its mean; a protocol that counts absent predicates 0 keeps
    the share of those that the data lack.
    """
    generator = np.random.default_rng(seed)
    sums = _recall_sums(recalls)
    per_class = quality.by_image() if quality is not None else None
    found: dict[str, list[np.ndarray]] = {}
    for _ in range(0, RESAMPLES, CHUNK):
        draw = generator.multinomial(images, np.full(images, 1 / images), CHUNK).astype(np.float64)
        for name, (above, below, share) in sums.items():
            found.setdefault(name, []).append(share * _mean_ratio(draw[:, places], above, below))
        if per_class is not None:
            found.setdefault("PQ", []).append(_mean_ratio(draw[:, quality_places], *per_class))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _recall_sums(recalls: Recalls) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """For each metric: numerators and denominators (I, columns), and the share by which a mean of columns is scaled."""
    out = {}
    for k in recalls.at:
        hits, count = recalls.ranked.by_image(k)
        out[f"R@{k}"] = ((hits / np.maximum(count, 1))[:, None], (count > 0)[:, None].astype(float), 1.0)
        share, there = recalls.ranked.by_predicate(k, recalls.predicates)
        known = float(there.any(0).mean()) if recalls.absent == "zero" else 1.0
        if recalls.absent != "undefined" or there.any(0).all():
            out[f"mR@{k}"] = (np.where(there, share, 0), there.astype(float), known)
    return out


def _mean_ratio(draw: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Weighted column sums divided, then averaged over the columns that have a denominator: (B,)."""
    top, bottom = draw @ above, draw @ below
    there = bottom > 0
    ratio = np.where(there, top / np.where(there, bottom, 1), 0)
    columns = there.sum(1)
    return np.where(columns > 0, ratio.sum(1) / np.maximum(columns, 1), np.nan)


def interval(values: np.ndarray) -> list[float] | None:
    """The middle 95 % of the draws; None where none is defined. Rounded: the last bits are the linear algebra
    library's.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return [round(float(v), 9) for v in np.quantile(known, (0.025, 0.975))]


def intervals(drawn: Mapping[str, np.ndarray]) -> dict[str, list[float] | None]:
    """95 % intervals by metric."""
    return {name: interval(values) for name, values in drawn.items()}


def differences(
    first: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], metrics: tuple[Mapping, Mapping]
) -> dict[str, dict[str, object] | None]:
    """The second system minus the first, with the paired interval; None where a figure does not exist for both."""
    out: dict[str, dict[str, object] | None] = {}
    for name in first:
        a, b = metrics[0].get(name), metrics[1].get(name)
        if name not in other or a is None or b is None:
            out[name] = None
            continue
        out[name] = {"difference": b - a, "ci95": interval(other[name] - first[name])}
    return out
