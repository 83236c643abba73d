"""The product: segments with labels, directed relations, and the panoptic map they refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spade.core.errors import SpadeError, given
from spade.core.optional import optional

if TYPE_CHECKING:
    from pathlib import Path

    import networkx
    import pandas
    from PIL.Image import Image

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Segment:
    """One mask. ``id`` is its value in the panoptic map; ``bbox`` xyxy in image pixels, x2 and y2 exclusive.

    ``supercategory`` of the label, where whoever found the segment has said one ("animal"). ``centroid`` xy of its
    pixels' centres, where the map was at hand.
    """

    id: int
    label: str
    category_id: int
    is_thing: bool
    score: float
    bbox: tuple[int, int, int, int]
    area: int
    supercategory: str | None = None
    centroid: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As in a scene graph; supercategory and centroid only where there is one."""
        centroid = None if self.centroid is None else [round(value, 1) for value in self.centroid]
        data = vars(self) | {"score": round(self.score, 6), "bbox": list(self.bbox), "centroid": centroid}
        return {name: value for name, value in data.items() if value is not None}


@dataclass(frozen=True)
class Relation:
    """``subject`` and ``object`` are segment ids; ``score`` = P(pair) x P(predicate | pair)."""

    subject: int
    object: int
    predicate: str
    score: float


@dataclass(frozen=True, eq=False)
class SceneGraph:
    """An image's segments and relations (best first), with its panoptic map (H, W) of ids, 0 = void.

    ``panoptic`` is None where segments are boxes, or where the map was not read. ``image``: what the graph is of, for
    drawings, where it is at hand; no part of what the graph says. Two graphs are equal where they say the same of
    images of one name.
    """

    file_name: str
    width: int
    height: int
    segments: tuple[Segment, ...]
    relations: tuple[Relation, ...]
    objects: tuple[str, ...]
    predicates: tuple[str, ...]
    panoptic: np.ndarray | None
    model: dict[str, Any] = field(default_factory=dict)
    image: Image | None = field(default=None, repr=False)

    @property
    def ids(self) -> np.ndarray:
        """The panoptic map. Raises SpadeError where there is none."""
        if self.panoptic is None:
            name = self.file_name or "this image"
            raise SpadeError(f"{name}: this graph has boxes and no panoptic map; use segments that have masks.")
        return self.panoptic

    def __len__(self) -> int:
        """The number of relations."""
        return len(self.relations)

    def __bool__(self) -> bool:
        """A graph is there, whether or not anything is related."""
        return True

    def __str__(self) -> str:
        """A line for each relation; two segments of one name are numbered."""
        from spade.export.names import display_names

        names = display_names(self, longest=None)
        lines = [f"{names[r.subject]} {r.predicate} {names[r.object]}" for r in self.relations]
        return "\n".join(lines) or f"no relation between {len(self.segments)} segments"

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, to the digits that a file holds: segments, relations, names and map."""
        if not isinstance(other, SceneGraph):
            return NotImplemented
        if (self.panoptic is None) != (other.panoptic is None):
            return False
        mine, theirs = (graph.to_json(None) | {"model": None} for graph in (self, other))
        return mine == theirs and (self.panoptic is None or np.array_equal(self.panoptic, other.ids))

    def __hash__(self) -> int:
        return hash((self.file_name, self.width, self.height, tuple(self.triples())))

    def triples(self) -> list[tuple[str, str, str]]:
        """Relations in words."""
        label = {segment.id: segment.label for segment in self.segments}
        return [(label[r.subject], r.predicate, label[r.object]) for r in self.relations]

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each relation, best first: image, subject, predicate, object, score, and the segments' ids."""
        return [
            {
                "image": self.file_name,
                "subject": subject,
                "predicate": predicate,
                "object": target,
                "score": relation.score,
                "subject_id": relation.subject,
                "object_id": relation.object,
            }
            for (subject, predicate, target), relation in zip(self.triples(), self.relations, strict=True)
        ]

    def to_dataframe(self) -> pandas.DataFrame:
        """``to_rows`` as a pandas DataFrame. Raises SpadeError where pandas is not installed."""
        pandas = optional("pandas", "to_dataframe")
        columns = ["image", "subject", "predicate", "object", "score", "subject_id", "object_id"]
        return pandas.DataFrame(self.to_rows(), columns=columns)

    def to_networkx(self) -> networkx.MultiDiGraph:
        """A node for each segment and an edge for each relation (see ``spade.export.networkx_graph``)."""
        from spade.export.networkx_graph import to_networkx

        return to_networkx(self)

    def to_supervision(self) -> Any:
        """The segments as ``supervision.Detections`` with masks (N, H, W) bool, where there is a map. Raises SpadeError
        where supervision is not installed.
        """
        from spade.export.supervision import to_supervision

        return to_supervision(self)

    def to_json(self, panoptic_name: str | None) -> dict[str, Any]:
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

    def plot(self, image: Image | None = None) -> Image:
        """The figure: image with masks, and the graph beside it. image: what the graph is of, where it is not at hand;
        without any, masks are drawn on grey.
        """
        from spade.export.figure import figure

        return figure(image, self)

    def show(self, image: Image | None = None) -> None:
        """Open the figure in the system's image viewer."""
        self.plot(image).show()

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write the graph, as its suffix says: .json a scene graph with its panoptic map beside it, .html the page,
        .svg or .figure.png the figure, .graphml, .gexf, .dot or .gv, .cypher.

        format: "node-link" or "coco" for another json, "csv" for a folder. Raises SpadeError for an unknown suffix or
        format, and where a file would be replaced that is no map of a scene graph.
        """
        from spade.export.save import save

        return save(self, path, format)

    @classmethod
    def open(cls, path: str | Path) -> SceneGraph:
        """Read a scene graph json, the panoptic png and the image beside it, where that is there."""
        from spade.export.save import open_graph

        return open_graph(path)

    @classmethod
    def from_masks(
        cls,
        masks: Any,
        labels: Sequence[str],
        scores: Sequence[float] | None = None,
        image: Image | None = None,
        file_name: str = "",
    ) -> SceneGraph:
        """Segments of masks (N, H, W), to be related by ``spade.load_relation_predictor()``; see
        ``spade.structures.foreign.graph_of_masks``.
        """
        from spade.structures.foreign import graph_of_masks

        return graph_of_masks(masks, labels, scores, image, file_name)

    @classmethod
    def from_supervision(cls, detections: Any, image: Image | None = None, file_name: str = "") -> SceneGraph:
        """Segments of ``supervision.Detections``; see ``spade.structures.foreign.graph_of_detections``."""
        from spade.structures.foreign import graph_of_detections

        return graph_of_detections(detections, image, file_name)

    @classmethod
    def from_pipeline(
        cls, results: Sequence[Mapping[str, Any]], image: Image | None = None, file_name: str = ""
    ) -> SceneGraph:
        """Segments of transformers' image-segmentation pipeline; see ``spade.structures.foreign.graph_of_results``."""
        from spade.structures.foreign import graph_of_results

        return graph_of_results(results, image, file_name)

    def _repr_html_(self) -> str:
        """In a notebook: the page."""
        from spade.export.page import notebook_html

        return notebook_html(self)


@dataclass(frozen=True)
class Prediction:
    """A scene graph with the scores behind it, as evaluation needs them.

    ``pairs`` (R, 2) indices into ``graph.segments``; ``scores`` (R, P): P(pair) x P(predicate | pair);
    ``no_relation`` (R,): 1 - P(pair); ``proposals`` (Q, h, w) bool: the masks from which segments were merged, on a
    grid over the image, where the model found them.
    """

    graph: SceneGraph
    pairs: np.ndarray
    scores: np.ndarray
    no_relation: np.ndarray
    proposals: np.ndarray | None = None


def check_limits(top: Any, min_score: Any) -> None:
    """Raise SpadeError for a number of relations, or a least score, that is none."""
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise SpadeError(f"{given('top', top)}: use a whole number of at least 1.")
    if not isinstance(min_score, (int, float)) or isinstance(min_score, bool) or not 0 <= min_score <= 1:
        raise SpadeError(f"{given('min_score', min_score)}: use a probability from 0 to 1.")


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
    check_limits(top, min_score)
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
