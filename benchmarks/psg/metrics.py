"""The metrics of a row: all of the protocol's, and recall by kinds of relations."""

from __future__ import annotations

import numpy as np
import torch

from spade.data.psg import Dataset
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import FAR, Facts, part, positional_predicates
from spade.evaluation.scoring.recall import Recalls

AT = (20, 50, 100)


def metrics(evaluator: Evaluator, dataset: Dataset, counts: torch.Tensor) -> dict[str, float | None]:
    """All metrics of a row, in percent."""
    own, recalls = evaluator.metrics(), recalls_of(evaluator, dataset)
    facts = Facts.of(recalls)
    names = [f"{name}@{k}" for name in ("R", "mR", "ngR", "PR") for k in AT]
    out = {name: percent(own[name]) for name in names} | {"top1": percent(own[f"A@{AT[-1]}"])}
    order = torch.argsort(counts, descending=True, stable=True).tolist()
    positional = [i for i, name in enumerate(dataset.predicates) if name in positional_predicates()]
    others = [i for i in range(len(dataset.predicates)) if i not in positional]
    groups = {
        "positional": positional,
        "other": others,
        "frequent": order[:10],
        "middle": order[10:30],
        "rare": order[30:],
    }
    for name, members in groups.items():
        found = part(recalls, np.isin(facts.predicate, members), members)
        out |= {f"{metric}@20 {name}": percent(found[f"{metric}@20"]) for metric in ("R", "mR")}
    for name, chosen in (("near", facts.distance <= FAR), ("far", facts.distance > FAR)):
        out[f"R@20 {name}"] = percent(part(recalls, chosen)["R@20"])
    return out


def recalls_of(evaluator: Evaluator, dataset: Dataset) -> Recalls:
    """Of all records with relations."""
    return Recalls([j for j in evaluator.judged if j.record.relations], evaluator.rules, len(dataset.predicates), AT)


def percent(value: float | None) -> float | None:
    """Of a share."""
    return None if value is None else 100 * value
