"""The product: segments with labels, directed relations, and the panoptic map they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spade.core.errors import SpadeError, given

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Segment:
    """One mask. ``id`` is its value in the panoptic map; ``bbox`` xyxy in image pixels, x2 and y2 exclusive.

    ``supercategory`` of the label, where whoever found the segment has said one ("animal").
    """

    id: int
    label: str
    category_id: int
    is_thing: bool
    score: float
    bbox: tuple[int, int, int, int]
    area: int
    supercategory: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in a scene graph; the supercategory only where there is one."""
        data = vars(self) | {"score": round(self.score, 6), "bbox": list(self.bbox)}
        return {name: value for name, value in data.items() if value is not None}


@dataclass(frozen=True)
class Relation:
    """``subject`` and ``object`` are segment ids; ``score`` = P(pair) x P(predicate | pair)."""

    subject: int
    object: int
    predicate: str
    score: float


@dataclass(frozen=True)
class SceneGraph:
    """An image's segments and relations (best first), with its panoptic map (H, W) of ids, 0 = void."""

    file_name: str
    width: int
    height: int
    segments: tuple[Segment, ...]
    relations: tuple[Relation, ...]
    objects: tuple[str, ...]
    predicates: tuple[str, ...]
    panoptic: np.ndarray
    model: dict[str, Any] = field(default_factory=dict)

    def triples(self) -> list[tuple[str, str, str]]:
        """Relations in words."""
        label = {segment.id: segment.label for segment in self.segments}
        return [(label[r.subject], r.predicate, label[r.object]) for r in self.relations]

    def to_json(self, panoptic_name: str) -> dict[str, Any]:
        """The document of scene graph format version 1 (docs/formats.md)."""
        return {
            "version": FORMAT_VERSION,
            "image": {"file_name": self.file_name, "width": self.width, "height": self.height},
            "model": self.model,
            "vocabulary": {"objects": list(self.objects), "predicates": list(self.predicates)},
            "panoptic": panoptic_name,
            "segments": [segment.to_json() for segment in self.segments],
            "relations": [{**vars(r), "score": round(r.score, 6)} for r in self.relations],
        }


@dataclass(frozen=True)
class Prediction:
    """A scene graph with the scores behind it, as evaluation needs them.

    ``pairs`` (R, 2) indices into ``graph.segments``; ``scores`` (R, P): P(pair) x P(predicate | pair);
    ``no_relation`` (R,): 1 - P(pair).
    """

    graph: SceneGraph
    pairs: np.ndarray
    scores: np.ndarray
    no_relation: np.ndarray


def best_relations(
    segments: Sequence[Segment],
    pairs: np.ndarray,
    scores: np.ndarray,
    predicates: Sequence[str],
    top: int,
    min_score: float,
) -> tuple[Relation, ...]:
    """Each pair's best predicate, of at least ``min_score``; at most ``top``, ranked by its score times both segments'
    scores.

    pairs (R, 2) indices into the segments; scores (R, P).
    """
    if top < 1:
        raise SpadeError(f"{given('top', top)}: use a number of at least 1.")
    if not len(pairs):
        return ()
    best = scores.max(1)
    sure = np.array([segment.score for segment in segments])
    order = np.argsort(-best * sure[pairs].prod(1), kind="stable")
    chosen = [int(row) for row in order if best[row] >= min_score][:top]
    return tuple(
        Relation(
            segments[pairs[r, 0]].id, segments[pairs[r, 1]].id, predicates[int(scores[r].argmax())], float(best[r])
        )
        for r in chosen
    )
