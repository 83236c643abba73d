"""The baselines that do not look, on segments of the world: annotated ones, and those that a mask generator finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.common.baselines import Answer, Boosting, BoostingOptions, Example, Frequency
from spade.data.psg import Dataset
from spade.structures.scene_graph import Prediction, SceneGraph
from spade.training.relations import RelationTraining
from spade.training.split import validation_split

Scorer = Callable[[Sequence[Example]], list[Answer]]
# Rate, leaves and regularisation were chosen on the validation scenes.
_LEARNER = {
    "max_iter": 600,
    "learning_rate": 0.03,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "n_iter_no_change": 15,
}
OPTIONS = BoostingOptions(_LEARNER, _LEARNER)
BASELINES = ("frequency", "boosting", "boosting, on found boxes, too")


def trained(
    name: str, dataset: Dataset, names: Sequence[str], predicates: Sequence[str], job: RelationTraining
) -> Scorer:
    """A baseline, trained on a data set's training records; job: a training whose mask generator is frozen."""
    numbering = Numbering(dataset, names, predicates)
    if name == "frequency":
        examples = [numbering.example(Example.of(record)) for record in dataset.split("train")]
        return Frequency(examples, len(names), len(predicates))
    train, validation = annotated(dataset, numbering) if name == "boosting" else annotated_and_found(job, numbering)
    return Boosting(train, validation, len(predicates), OPTIONS)


def answered(prediction: Prediction, score: Scorer) -> Prediction:
    """The same segments, with a baseline's pairs and scores."""
    ((pairs, scores),) = score([_example_of(prediction.graph)])
    return replace(prediction, pairs=pairs, scores=scores, no_relation=1 - scores.sum(1))


class Numbering:
    """Categories and predicates of a training's lists by their places in the lists by which answers are given."""

    def __init__(self, dataset: Dataset, names: Sequence[str], predicates: Sequence[str]) -> None:
        """dataset: for training; its names may be a part of those by which answers are given."""
        self.names = np.array([names.index(name) for name in dataset.classes], np.int64)
        self.said = [predicates.index(name) for name in dataset.predicates]

    def example(self, own: Example) -> Example:
        """With the other lists' numbers."""
        return replace(_boxes_alone(own), labels=self.names[own.labels], triples=self.triples(own.triples))

    def triples(self, own: Iterable[Sequence[int]]) -> list[tuple[int, int, int]]:
        """Subject, object, and the predicate by its new place."""
        return [(s, o, self.said[p]) for s, o, p in own]


def annotated(dataset: Dataset, numbering: Numbering) -> tuple[list[Example], list[Example]]:
    """Annotated segments of the training and of the validation images."""
    train, validation = (
        [numbering.example(Example.of(record)) for record in records]
        for records in validation_split(list(dataset.split("train")))
    )
    return train, validation


def annotated_and_found(job: RelationTraining, numbering: Numbering) -> tuple[list[Example], list[Example]]:
    """What a relation part learns on: segments for which the mask generator has a query, on annotated and again on
    found masks.
    """
    parts: list[list[Example]] = []
    for indices in (job.images.train, job.images.validation):
        examples: list[Example] = []
        for index in indices:
            proposals = job.proposals(index)
            for nodes in proposals.nodes:
                labels = (nodes.label @ job.objects.T).argmax(1).numpy() if len(nodes) else np.zeros(0, np.int64)
                triples = [(s, o, p) for s, o, p in proposals.triples.tolist()]
                own = Example(labels, nodes.boxes.double().numpy(), nodes.area.numpy(), triples=triples)
                examples.append(numbering.example(own))
        parts.append(examples)
    return parts[0], parts[1]


def _example_of(graph: SceneGraph) -> Example:
    boxes = np.array([segment.bbox for segment in graph.segments], float).reshape(-1, 4)
    boxes /= np.array([graph.width, graph.height] * 2, float)
    labels = np.array([segment.category_id for segment in graph.segments], np.int64)
    return _boxes_alone(Example(labels, boxes, np.zeros(len(boxes))))


def _boxes_alone(own: Example) -> Example:
    """Areas are those of boxes: masks of found segments are others than annotated ones'."""
    return replace(own, areas=(own.boxes[:, 2:] - own.boxes[:, :2]).prod(1), aspect=1.0)
