"""What networks have to beat without looking: frequency of label pairs, and gradient boosting on labels and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from spade.data.psg import Record
from spade.relations import frequency
from spade.relations.config import DETAILED
from spade.relations.frequency import all_pairs
from spade.relations.pair_geometry import pair_geometry

Answer = tuple[np.ndarray, np.ndarray]  # pairs (R, 2), and P(pair) x P(predicate | pair) of each, (R, P)


@dataclass(frozen=True)
class Example:
    """Segments without pixels: labels (N,), boxes (N, 4) xyxy and areas (N,) in shares of the image, whose aspect is
    width over height; triples of subject, object and predicate.
    """

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    aspect: float = 1.0
    triples: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, record: Record) -> Example:
        """Of an annotation, with the triples that training uses."""
        boxes = np.array([segment.bbox for segment in record.segments], np.float32).reshape(-1, 4)
        areas = np.array([segment.area for segment in record.segments], np.float32)
        return cls(
            np.array([segment.category for segment in record.segments], np.int64),
            boxes / np.array([record.width, record.height] * 2, np.float32),
            areas / np.float32(record.width * record.height),
            record.width / record.height,
            list(record.training_triples()),
        )


def predicate_counts(examples: Sequence[Example], predicates: int) -> np.ndarray:
    """(P,) over all triples."""
    told = [p for example in examples for _, _, p in example.triples]
    return np.bincount(told, minlength=predicates).astype(np.float32)


class Frequency:
    """The product's counted label pairs, on examples."""

    def __init__(self, examples: Sequence[Example], names: int, predicates: int) -> None:
        self._counted = frequency.Frequency(((one.labels, one.triples) for one in examples), names, predicates)

    def __call__(self, examples: Sequence[Example]) -> list[Answer]:
        """Of each example."""
        return [self._counted(example.labels) for example in examples]


@dataclass(frozen=True)
class BoostingOptions:
    """Of scikit-learn's learners for P(pair) and for P(predicate | pair).

    negatives: pairs without a relation that are kept for each with one, and count for those left out; None: all. seed:
    of these, and of which of a pair's several predicates counts; None: the last.
    """

    related: dict[str, Any]
    named: dict[str, Any]
    negatives: int | None = None
    seed: int | None = None


class Boosting:
    """Gradient boosting on labels, boxes and the pair geometry that networks get: one learner for P(pair), one for
    P(predicate | pair). Validation examples say when to stop.
    """

    def __init__(
        self, train: Sequence[Example], validation: Sequence[Example], predicates: int, options: BoostingOptions
    ) -> None:
        self.predicates = predicates
        rng = None if options.seed is None else np.random.default_rng(options.seed)
        (facts, told, weight), (other, right, other_weight) = (
            _table(own, options.negatives, rng) for own in (train, validation)
        )
        common = {"categorical_features": [0, 1], "early_stopping": True, "random_state": options.seed or 0}
        self.related = HistGradientBoostingClassifier(**(common | options.related))
        self.related.fit(
            facts, told >= 0, sample_weight=weight, X_val=other, y_val=right >= 0, sample_weight_val=other_weight
        )
        self.named = HistGradientBoostingClassifier(**(common | options.named))
        known = (right >= 0) & np.isin(right, told)
        self.named.fit(facts[told >= 0], told[told >= 0], X_val=other[known], y_val=right[known])

    def __call__(self, examples: Sequence[Example]) -> list[Answer]:
        """Of each example; asked of all at once, since every question passes thousands of trees."""
        asked = [all_pairs(len(example.labels)) for example in examples]
        facts = np.concatenate([_facts(example, pairs) for example, pairs in zip(examples, asked, strict=True)])
        scores = np.zeros((len(facts), self.predicates), np.float32)
        if len(facts):
            related = self.related.predict_proba(facts)[:, 1:]
            scores[:, self.named.classes_] = related * self.named.predict_proba(facts)
        return list(zip(asked, np.split(scores, np.cumsum([len(pairs) for pairs in asked])[:-1]), strict=True))


def _table(
    examples: Sequence[Example], negatives: int | None, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facts (M, F) and predicates (M,) of all annotated pairs, one predicate each, and of some that are not, -1;
    weights (M,).
    """
    rows, told, weights = [], [], []
    for example in examples:
        triples = example.triples
        if rng is not None:
            triples = [triples[i] for i in rng.permutation(len(triples))]
        said = {(s, o): p for s, o, p in triples}
        pairs = all_pairs(len(example.labels))
        answer = np.array([said.get((s, o), -1) for s, o in pairs.tolist()], np.int64)
        empty = kept_empty = np.flatnonzero(answer < 0)
        if negatives is not None and rng is not None:
            kept_empty = rng.permutation(empty)[: max(1, negatives * len(said))]
        kept = np.concatenate([np.flatnonzero(answer >= 0), kept_empty])
        rows.append(_facts(example, pairs[kept]))
        told.append(answer[kept])
        weights.append(np.where(answer[kept] >= 0, 1.0, len(empty) / max(1, len(kept_empty))))
    return np.concatenate(rows), np.concatenate(told), np.concatenate(weights)


def _facts(example: Example, pairs: np.ndarray) -> np.ndarray:
    """(R, F): both labels, both boxes, the detailed geometry of the pair, and the image's aspect."""
    boxes, areas = (torch.from_numpy(own).float() for own in (example.boxes, example.areas))
    geometry = pair_geometry(boxes, areas, torch.from_numpy(pairs), DETAILED).numpy()
    corners = example.boxes[pairs].reshape(len(pairs), 8)
    aspect = np.full((len(pairs), 1), example.aspect)
    return np.concatenate([example.labels[pairs], corners, geometry, aspect], axis=1)
