"""What a network of labels and boxes has to beat on PSG: the frequency of label pairs, and gradient boosting on the
same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from spade.data.psg import Dataset, Record
from spade.relations.config import DETAILED
from spade.relations.pair_geometry import pair_geometry
from spade.training.split import validation_split


class Scorer(Protocol):
    """Scores of a record's ordered pairs; ``counts`` (P,) of the predicates it was fitted on, ``validation`` the
    records it was not.
    """

    counts: np.ndarray
    validation: list[Record]

    def __call__(self, records: Sequence[Record]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each record: pairs (R, 2) and P(pair) x P(predicate | pair), (R, P)."""


def all_pairs(count: int) -> np.ndarray:
    """Every ordered pair of segments, (R, 2)."""
    return np.array(list(permutations(range(count), 2)), np.int64).reshape(-1, 2)


def classes(record: Record) -> np.ndarray:
    """(N,) of a record's segments."""
    return np.array([segment.category for segment in record.segments], np.int64)


def predicate_counts(records: Sequence[Record], predicates: int) -> np.ndarray:
    """(P,) over all triples that training uses."""
    told = [p for record in records for _, _, p in record.training_triples()]
    return np.bincount(told, minlength=predicates).astype(np.float32)


class Frequency:
    """P(related | labels) x P(predicate | labels, related), counted; a label pair that is rare leans on the predicates'
    own frequency.
    """

    def __init__(self, dataset: Dataset, records: Sequence[Record]) -> None:
        learned, self.validation = validation_split(list(records))
        size, names = len(dataset.classes), len(dataset.predicates)
        both, told = np.zeros((size, size)), np.zeros((size, size, names))
        for record in learned:
            own, pairs = classes(record), all_pairs(len(record.segments))
            np.add.at(both, (own[pairs[:, 0]], own[pairs[:, 1]]), 1)
            for s, o, p in record.training_triples():
                told[own[s], own[o], p] += 1
        self.counts = predicate_counts(learned, names)
        prior = (told.sum((0, 1)) + 1) / (told.sum() + names)
        related = (told.sum(-1) + told.sum() / both.sum()) / (both + 1)
        self.table = related[..., None].clip(max=1) * (told + prior) / (told.sum(-1, keepdims=True) + 1)

    def __call__(self, records: Sequence[Record]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs (R, 2) and scores (R, P) of each record."""
        found = []
        for record in records:
            pairs, own = all_pairs(len(record.segments)), classes(record)
            found.append((pairs, self.table[own[pairs[:, 0]], own[pairs[:, 1]]].astype(np.float32)))
        return found


class Boosting:
    """Gradient boosting on labels and the pair geometry that networks get: one learner for P(pair), one for P(predicate
    | pair).

    The watched records say when to stop. Of the pairs without a relation five are kept for each with one, and count for
    those left out.
    """

    def __init__(self, dataset: Dataset, records: Sequence[Record], seed: int, quick: bool = False) -> None:
        learned, self.validation = validation_split(list(records))
        self.names = len(dataset.predicates)
        self.counts = predicate_counts(learned, self.names)
        rng = np.random.default_rng(seed)
        (facts, said, weight), (other, right, other_weight) = (
            _table(own, rng, 5) for own in (learned, self.validation)
        )
        options = {
            "max_iter": 20 if quick else 400,
            "learning_rate": 0.1,
            "categorical_features": [0, 1],
            "early_stopping": True,
            "n_iter_no_change": 10,
            "random_state": seed,
        }
        self.related = HistGradientBoostingClassifier(max_leaf_nodes=63, **options)
        self.related.fit(
            facts, said >= 0, sample_weight=weight, X_val=other, y_val=right >= 0, sample_weight_val=other_weight
        )
        # Rare predicates need it small and slow: with leaves of ten pairs and a rate of 0.1 it stops after ten rounds,
        # 7 points worse.
        calm = {"learning_rate": 0.05, "max_leaf_nodes": 7, "min_samples_leaf": 20, "l2_regularization": 10.0}
        self.named = HistGradientBoostingClassifier(**(options | calm))
        known = (right >= 0) & np.isin(right, said)
        self.named.fit(facts[said >= 0], said[said >= 0], X_val=other[known], y_val=right[known])

    def __call__(self, records: Sequence[Record]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs (R, 2) and scores (R, P) of each record; asked of all at once, since every question passes thousands of
        trees.
        """
        asked = [all_pairs(len(record.segments)) for record in records]
        facts = np.concatenate([_facts(record, pairs) for record, pairs in zip(records, asked, strict=True)])
        scores = np.zeros((len(facts), self.names), np.float32)
        scores[:, self.named.classes_] = self.related.predict_proba(facts)[:, 1:] * self.named.predict_proba(facts)
        return list(zip(asked, np.split(scores, np.cumsum([len(pairs) for pairs in asked])[:-1]), strict=True))


def _table(
    records: Sequence[Record], rng: np.random.Generator, others: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facts (M, F) and predicates (M,) of all annotated pairs, one predicate each, and of some that are not, -1;
    weights (M,).
    """
    rows, said, weights = [], [], []
    for record in records:
        triples = record.training_triples()
        told = {(s, o): p for s, o, p in (triples[i] for i in rng.permutation(len(triples)))}
        pairs = all_pairs(len(record.segments))
        answer = np.array([told.get((s, o), -1) for s, o in pairs.tolist()], np.int64)
        empty = np.flatnonzero(answer < 0)
        chosen = rng.permutation(empty)[: max(1, others * len(told))]
        kept = np.concatenate([np.flatnonzero(answer >= 0), chosen])
        rows.append(_facts(record, pairs[kept]))
        said.append(answer[kept])
        weights.append(np.where(answer[kept] >= 0, 1.0, len(empty) / max(1, len(chosen))))
    return np.concatenate(rows), np.concatenate(said), np.concatenate(weights)


def _facts(record: Record, pairs: np.ndarray) -> np.ndarray:
    """(R, F): both labels, both boxes in shares of the image, the detailed geometry of the pair, and the image's
    aspect.
    """
    boxes = torch.tensor([segment.bbox for segment in record.segments]).float() / torch.tensor(
        [record.width, record.height] * 2
    )
    area = torch.tensor([segment.area for segment in record.segments]).float() / (record.width * record.height)
    own = classes(record)
    geometry = pair_geometry(boxes, area, torch.from_numpy(pairs), DETAILED).numpy()
    aspect = np.full((len(pairs), 1), record.width / record.height)
    return np.concatenate([own[pairs], boxes.numpy()[pairs].reshape(len(pairs), 8), geometry, aspect], axis=1)
