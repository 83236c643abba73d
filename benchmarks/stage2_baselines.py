"""What stage 2 has to beat without looking: the frequency of label pairs, and gradient boosting on labels and boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from spade.data.psg import Dataset, Record
from spade.relations.config import DETAILED
from spade.relations.pair_geometry import pair_geometry
from spade.structures.scene_graph import Prediction, Segment
from spade.training.relations import RelationTraining
from spade.training.split import validation_split

Scorer = Callable[[list[Segment], tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def answered(prediction: Prediction, score: Scorer) -> Prediction:
    """The same segments, with a baseline's pairs and scores."""
    graph = prediction.graph
    pairs, scores = score(list(graph.segments), (graph.width, graph.height))
    return replace(prediction, pairs=pairs, scores=scores, no_relation=1 - scores.sum(1))


def all_pairs(count: int) -> np.ndarray:
    """Every ordered pair of segments, (R, 2)."""
    return np.array(list(permutations(range(count), 2)), np.int64).reshape(-1, 2)


class Numbering:
    """Categories and predicates of a training's lists by their places in the lists by which answers are given."""

    def __init__(self, dataset: Dataset, names: tuple[str, ...], predicates: tuple[str, ...]) -> None:
        """dataset: for training; its names may be a part of those by which answers are given."""
        self.sizes = len(names), len(predicates)
        self.names = np.array([names.index(name) for name in dataset.classes], np.int64)
        self.said = [predicates.index(name) for name in dataset.predicates]

    def triples(self, own: Iterable[Sequence[int]]) -> list[tuple[int, int, int]]:
        """Subject, object, and the predicate by its new place."""
        return [(s, o, self.said[p]) for s, o, p in own]


class Frequency:
    """P(related | labels) x P(predicate | labels, related), counted; a label pair that is rare leans on the predicates'
    own frequency.
    """

    def __init__(self, dataset: Dataset, numbering: Numbering) -> None:
        """dataset: for training; answers are by the numbering."""
        names, predicates = numbering.sizes
        both = np.zeros((names, names))
        told = np.zeros((names, names, predicates))
        for record in dataset.split("train"):
            own = numbering.names[[segment.category for segment in record.segments]]
            for s, o in all_pairs(len(own)):
                both[own[s], own[o]] += 1
            for s, o, p in numbering.triples(record.training_triples()):
                told[own[s], own[o], p] += 1
        prior = (told.sum((0, 1)) + 1) / (told.sum() + predicates)
        related = (told.sum(-1) + told.sum() / both.sum()) / (both + 1)
        self.table = related[..., None].clip(max=1) * (told + prior) / (told.sum(-1, keepdims=True) + 1)

    def __call__(self, segments: list[Segment], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (R, 2) and scores (R, P)."""
        pairs = all_pairs(len(segments))
        own = np.array([segment.category_id for segment in segments], np.int64)
        return pairs, self.table[own[pairs[:, 0]], own[pairs[:, 1]]].astype(np.float32)


Images = list[
    tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]
]  # labels (N,), boxes (N, 4) in shares, triples; as answered


def annotated(dataset: Dataset, numbering: Numbering) -> tuple[Images, Images]:
    """Annotated segments of the learned and of the watched images."""
    learned, validation = (
        [
            (
                numbering.names[[s.category for s in record.segments]],
                _boxes(record),
                numbering.triples(record.training_triples()),
            )
            for record in records
        ]
        for records in validation_split(list(dataset.split("train")))
    )
    return learned, validation


def and_found(job: RelationTraining, numbering: Numbering) -> tuple[Images, Images]:
    """What a relation part learns on: segments for which the mask generator has a query, on annotated and again on
    found masks.
    """
    parts: list[Images] = []
    for indices in (job.images.learned, job.images.validation):
        images: Images = []
        for index in indices:
            views, triples = job.settled(index)
            for nodes in views:
                labels = (nodes.label @ job.objects.T).argmax(1).numpy() if len(nodes) else np.zeros(0, np.int64)
                images.append(
                    (numbering.names[labels], nodes.boxes.double().numpy(), numbering.triples(triples.tolist()))
                )
        parts.append(images)
    return parts[0], parts[1]


class Boosting:
    """Gradient boosting on both labels, boxes and the geometry that networks get: one learner for P(pair), one for
    P(predicate | pair).

    The watched scenes say when to stop; rate, leaves and regularisation were chosen on them, too. Nothing here is drawn
    at random.
    """

    def __init__(self, learned: Images, validation: Images, predicates: int) -> None:
        """predicates: how many there are in answers."""
        self.predicates = predicates
        parts = []
        for images in (learned, validation):
            rows, wanted = [], []
            for labels, boxes, triples in images:
                pairs = all_pairs(len(labels))
                told = {(s, o): p for s, o, p in triples}
                rows.append(_facts(labels, boxes, pairs))
                wanted += [told.get((s, o), -1) for s, o in pairs.tolist()]
            parts.append((np.concatenate(rows), np.array(wanted)))
        (facts, answers), (others, right) = parts
        options: dict[str, Any] = {
            "max_iter": 600,
            "learning_rate": 0.03,
            "max_leaf_nodes": 8,
            "min_samples_leaf": 40,
            "l2_regularization": 5.0,
            "categorical_features": [0, 1],
            "early_stopping": True,
            "n_iter_no_change": 15,
            "random_state": 0,
        }
        self.related, self.named = HistGradientBoostingClassifier(**options), HistGradientBoostingClassifier(**options)
        self.related.fit(facts, answers >= 0, X_val=others, y_val=right >= 0)
        known = (right >= 0) & np.isin(right, answers)
        self.named.fit(facts[answers >= 0], answers[answers >= 0], X_val=others[known], y_val=right[known])

    def __call__(self, segments: list[Segment], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (R, 2) and scores (R, P)."""
        pairs = all_pairs(len(segments))
        scores = np.zeros((len(pairs), self.predicates), np.float32)
        if len(pairs):
            boxes = np.array([segment.bbox for segment in segments], float) / np.array([*size, *size], float)
            facts = _facts(np.array([s.category_id for s in segments]), boxes, pairs)
            scores[:, self.named.classes_] = self.related.predict_proba(facts)[:, 1:] * self.named.predict_proba(facts)
        return pairs, scores


def _boxes(record: Record) -> np.ndarray:
    scale = np.array([record.width, record.height] * 2, float)
    return np.array([segment.bbox for segment in record.segments], float).reshape(-1, 4) / scale


def _facts(labels: np.ndarray, boxes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(R, F): both labels, both boxes (xyxy in shares of the image), and the detailed geometry of the pair."""
    own = torch.from_numpy(boxes).float()
    geometry = pair_geometry(own, (own[:, 2:] - own[:, :2]).prod(1), torch.from_numpy(pairs), DETAILED).numpy()
    return np.concatenate([labels[pairs], boxes[pairs].reshape(len(pairs), 8), geometry], axis=1)
