"""Parts of the annotated triplets that are reported apart: base and novel, positional and other, near and far, things
and stuff.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.errors import SpadeError
from spade.core.files import read_json
from spade.data.psg import Dataset, Record
from spade.data.split_lists import SplitList, official_list
from spade.evaluation.scoring.recall import Recalls, mean_recall

FAR = 1 / 3  # of the image's width, between box centres: beyond it a pair is far
CURVE = (0.0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, np.inf)  # edges of the near / far curve


def positional_predicates() -> frozenset[str]:
    """PSG's official positional relations."""
    return frozenset(
        row["name"] for row in official_list("psg_predicate_categories")["categories"]["Positional Relations"]
    )


def known_predicates() -> frozenset[str]:
    """All predicates that PSG groups."""
    return frozenset(
        row["name"] for rows in official_list("psg_predicate_categories")["categories"].values() for row in rows
    )


def read_zero_shot(path: Path, dataset: Dataset) -> frozenset[tuple[int, int, int]]:
    """Label triples unseen in training: json with "triplets", a list of [subject class, object class, predicate].

    Each is an index from 0 or a name.
    """
    data = read_json(path, "zero-shot list", 'write {"triplets": [[subject class, object class, predicate], ...]}.')
    rows = data.get("triplets") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise SpadeError(f"{path}: has no list under triplets.")
    predicates = set()
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 3:
            raise SpadeError(f"{path}: triplets[{index}] is no list of three.")
        names = (dataset.classes, dataset.classes, dataset.predicates)
        predicates.add(tuple(_index(path, index, value, of) for value, of in zip(row, names, strict=True)))
    return frozenset(predicates)  # type: ignore[arg-type]


def _index(path: Path, row: int, value: Any, names: Sequence[str]) -> int:
    if isinstance(value, str) and value in names:
        return names.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return value
    raise SpadeError(f"{path}: triplets[{row}]: {value!r} is neither an index nor a name of the data set.")


@dataclass(frozen=True)
class Facts:
    """Of each annotated triplet: classes of subject and object, predicate, distance of box centres / image width; all
    (T,).
    """

    subject: np.ndarray
    object: np.ndarray
    predicate: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, recalls: Recalls) -> Facts:
        """Facts of the triplets of ``recalls``, in its order."""
        parts = [_facts(j.record, recalls.triples[recalls.image == i]) for i, j in enumerate(recalls.judged)]
        return cls(
            *(
                np.concatenate([np.zeros(0), *(p[c] for p in parts)]).astype(kind)
                for c, kind in enumerate((int, int, int, float))
            )
        )


def _facts(record: Record, triples: np.ndarray) -> tuple[np.ndarray, ...]:
    classes = np.array([s.category for s in record.segments], np.int64)
    boxes = np.array([s.bbox for s in record.segments], np.float64).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    s, o = triples[:, 0], triples[:, 1]
    distance = np.hypot(*(centres[s] - centres[o]).T) / record.width
    return classes[s], classes[o], triples[:, 2], distance


def breakdowns(
    recalls: Recalls, facts: Facts, dataset: Dataset, split: SplitList | None
) -> dict[str, dict[str, Any] | None]:
    """Figures of each part with its denominators; None for a part that this data set or these options do not define."""
    predicates = np.array(dataset.predicates)[facts.predicate] if len(facts.predicate) else np.zeros(0, str)
    thing = [facts.subject < len(dataset.things), facts.object < len(dataset.things)]
    out: dict[str, dict[str, Any] | None] = {}
    new = None if split is None else split.novel_predicates
    out |= _two(recalls, predicates, dataset, "novel_predicates", "base_predicates", new)
    out |= _objects(recalls, facts, dataset, None if split is None else split.novel_objects)
    grouped = positional_predicates() if set(dataset.predicates) <= known_predicates() else None
    out |= _two(recalls, predicates, dataset, "positional", "other", grouped)
    out["near"] = part(recalls, facts.distance <= FAR)
    out["far"] = part(recalls, facts.distance > FAR)
    for name, subject, target in (
        ("thing-thing", 1, 1),
        ("thing-stuff", 1, 0),
        ("stuff-thing", 0, 1),
        ("stuff-stuff", 0, 0),
    ):
        out[name] = part(recalls, (thing[0] == subject) & (thing[1] == target))
    return out


def _two(
    recalls: Recalls, predicates: np.ndarray, dataset: Dataset, name: str, rest: str, chosen: frozenset[str] | None
) -> dict[str, dict[str, Any] | None]:
    if chosen is None:
        return {name: None, rest: None}
    inside = np.isin(predicates, sorted(chosen))
    members = [i for i, p in enumerate(dataset.predicates) if p in chosen]
    others = [i for i in range(len(dataset.predicates)) if i not in members]
    return {name: part(recalls, inside, members), rest: part(recalls, ~inside, others)}


def _objects(
    recalls: Recalls, facts: Facts, dataset: Dataset, novel: frozenset[str] | None
) -> dict[str, dict[str, Any] | None]:
    """As OvSGTR counts: novel when subject and object are both novel; one novel is neither novel nor base."""
    names = ("novel_objects", "base_objects", "mixed_objects")
    if novel is None:
        return dict.fromkeys(names)
    new = np.array([name in novel for name in dataset.classes], bool)
    count = new[facts.subject].astype(int) + new[facts.object]
    return {name: part(recalls, count == n) for name, n in zip(names, (2, 0, 1), strict=True)}


def part(recalls: Recalls, chosen: np.ndarray, predicates: Sequence[int] | None = None) -> dict[str, Any]:
    """R@K and ngR@K of the ``chosen`` triplets (T,), top K over all rows; mR@K where the part is a list of
    ``predicates``.
    """
    table, free = recalls.ranked.part(chosen), None if recalls.free is None else recalls.free.part(chosen)
    metrics: dict[str, Any] = {}
    for k in recalls.at:
        metrics[f"R@{k}"], metrics[f"ngR@{k}"] = table.recall(k), None if free is None else free.recall(k)
        metrics[f"mR@{k}"] = None
        if predicates is not None:
            known = table.predicate_recalls(k, recalls.predicates)
            metrics[f"mR@{k}"] = mean_recall([known[p] for p in predicates], recalls.absent)
    counts = {"images": len(np.unique(table.image)), "triplets": len(table.image)}
    return metrics | counts | {"predicates": None if predicates is None else len(predicates)}


def distance_curve(recalls: Recalls, facts: Facts) -> list[dict[str, Any]]:
    """R@K by the distance of box centres as a share of the image's width: one row a bin, ``to`` None for the last."""
    rows = []
    for low, high in pairwise(CURVE):
        inside = (facts.distance >= low if low == 0 else facts.distance > low) & (facts.distance <= high)
        rows.append({"from": round(low, 4), "to": None if high == np.inf else round(high, 4), **part(recalls, inside)})
    return rows
