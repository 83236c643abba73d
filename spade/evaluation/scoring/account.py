"""Where annotated relations are lost: the account of a recall, from masks by way of names and pairs to predicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spade.evaluation.scoring.protocols import Judgement
from spade.evaluation.scoring.recall import Recalls

STEPS = ("masks", "names", "pairs", "predicates")


def account(recalls: Recalls) -> dict[str, Any]:
    """Shares of the annotated relations, averaged over images as R@K is: ``proposals`` (both ends had a mask before
    merging; None where that is not known), ``masks`` (both have one), ``names`` (both are also named right),
    ``pairs@K`` (a row among the first K is about them), ``predicates@K`` (one has the predicate: R@K).

    ``lost@K``: of what is missing from all relations to R@K, each step's part, in logarithms, so that the parts add up
    to 1; None where R@K is 0 or 1. ``missing``: segments without a mask, and how many of the things share one with a
    neighbour.
    """
    judged = recalls.judged
    both = [_both(j) for j in judged]
    out: dict[str, Any] = {"proposals": None}
    if judged and all(j.ends.proposed is not None or not j.answered for j in judged):
        out["proposals"] = _share(recalls, [proposed for proposed, _, _ in both])
    out["masks"] = _share(recalls, [masked for _, masked, _ in both])
    out["names"] = _share(recalls, [named for _, _, named in both])
    pairs = replace(recalls.ranked, rank=np.concatenate([np.zeros(0, np.int64), *(j.hits.pair for j in judged)]))
    for k in recalls.at:
        out[f"pairs@{k}"], out[f"predicates@{k}"] = pairs.recall(k), recalls.ranked.recall(k)
    for k in recalls.at:
        out[f"lost@{k}"] = _lost([out["masks"], out["names"], out[f"pairs@{k}"], out[f"predicates@{k}"]])
    out["missing"] = _missing(judged)
    return out


def _both(judgement: Judgement) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of an image's triplets (T,), whether both ends were proposed, have a mask, are named."""
    pairs, found = judgement.hits.triples[:, :2], judgement.ends
    proposed = found.masked if found.proposed is None else found.proposed
    return proposed[pairs].all(1), found.masked[pairs].all(1), judgement.found[pairs].all(1)


def _share(recalls: Recalls, there: Sequence[np.ndarray]) -> float | None:
    hit = np.concatenate([np.zeros(0, bool), *there])
    return replace(recalls.ranked, rank=np.where(hit, 0, -1)).recall(1)


def _lost(shares: Sequence[float | None]) -> dict[str, float] | None:
    known = [share for share in shares if share is not None]
    if len(known) < len(shares) or known[-1] in (0, 1):
        return None
    logs = [math.log(share) for share in (1.0, *known)]
    return {name: abs(logs[i + 1] - logs[i]) / abs(logs[-1]) for i, name in enumerate(STEPS)}


def _missing(judged: Sequence[Judgement]) -> dict[str, int] | None:
    counts = dict.fromkeys(("segments", "without_mask", "things_without_mask", "merged", "merged_same_class"), 0)
    for judgement in judged:
        if judgement.ends.neighbour is None:
            if judgement.answered:
                return None
            continue
        segments, neighbour = judgement.record.segments, judgement.ends.neighbour
        counts["segments"] += len(segments)
        for index in np.flatnonzero(~judgement.ends.masked).tolist():
            counts["without_mask"] += 1
            if not segments[index].is_thing:
                continue
            counts["things_without_mask"] += 1
            if neighbour[index] >= 0:
                counts["merged"] += 1
                counts["merged_same_class"] += segments[neighbour[index]].category == segments[index].category
    return counts
