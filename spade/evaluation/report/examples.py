"""The worst and the best images of an evaluation, with their graphs drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.templates import jpeg_uri, percent
from spade.core.text import one_line
from spade.data.images import read_image
from spade.data.psg import Record
from spade.evaluation.report.charts import Edge, Node, graph
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import PredictedImage, Predictions
from spade.evaluation.scoring.protocols import Judgement, predicted_boxes
from spade.evaluation.scoring.rows import among
from spade.structures.panoptic_png import read_panoptic

COUNT = 4  # of each kind
DRAWN = 8  # arrows in an image
PIXELS = 420  # longest side of an image in the page


@dataclass(frozen=True)
class Card:
    """An image's drawings with their captions, and what became of each annotated triplet: found or missed."""

    title: str
    drawings: list[tuple[Markup, str]]
    lines: list[tuple[str, str]]


def examples(evaluator: Evaluator, predictions: Predictions) -> list[tuple[str, list[Card]]]:
    """Cards of the worst and the best answered images by recall at the largest K; among equals those with more
    triplets.
    """
    k = evaluator.at[-1]
    answered = [j for j in evaluator.judged if j.answered and len(j.hits.triples)]
    order = sorted(range(len(answered)), key=lambda i: (_recall(answered[i], k), -len(answered[i].hits.triples), i))
    count = min(COUNT, -(-len(order) // 2))
    worst = order[:count]
    others = [i for i in order if i not in worst]
    best = sorted(others, key=lambda i: (-_recall(answered[i], k), -len(answered[i].hits.triples), i))[:count]
    if not order:
        return []
    return [
        (title, [_card(evaluator, predictions, answered[i], k) for i in chosen])
        for title, chosen in (("Worst", worst), ("Best", best))
    ]


def _recall(judgement: Judgement, k: int) -> float:
    return float(among(judgement.hits.first, k).mean())


def _card(evaluator: Evaluator, predictions: Predictions, judgement: Judgement, k: int) -> Card:
    record = judgement.record
    classes, predicates = evaluator.dataset.classes, evaluator.dataset.predicates
    size = (record.width, record.height)
    image = _image(evaluator, record)
    edges, lines = [], []
    used = sorted({int(n) for triple in judgement.hits.triples for n in triple[:2]})
    for (s, o, p), rank in zip(judgement.hits.triples.tolist(), judgement.hits.first.tolist(), strict=True):
        is_hit = 0 <= rank < k
        kind = "found" if is_hit else "missed"
        edges.append(Edge(used.index(s), used.index(o), predicates[p], kind))
        words = " ".join(
            one_line(w, 24)
            for w in (classes[record.segments[s].category], predicates[p], classes[record.segments[o].category])
        )
        lines.append((kind, f"{words}: {f'row {rank + 1}' if rank >= 0 else 'not found'}"))
    boxes = np.array([record.segments[n].bbox for n in used], np.float64)
    # Of many arrows the first few are drawn, half found and half missed if there are both; the list has them all.
    drawn = sorted(edges, key=lambda edge: [e for e in edges if e.kind == edge.kind].index(edge))[:DRAWN]
    true = graph(
        size, _nodes(boxes, [classes[record.segments[n].category] for n in used]), drawn, image, "annotated graph"
    )
    predicted = _said(evaluator, predictions.get(record), record, image, max(3, min(DRAWN, len(edges))))
    drawings = [(true, "annotated")] + ([] if predicted is None else [(predicted, "predicted, first rows")])
    title = f"{one_line(record.image_id, 60)}: R@{k} {percent(_recall(judgement, k), 0)} % of {len(edges)}"
    return Card(title, drawings, lines)


def _said(
    evaluator: Evaluator, predicted: PredictedImage | None, record: Record, image: str | None, count: int
) -> Markup | None:
    """The first rows of a prediction as a graph."""
    if predicted is None:
        return None
    classes, predicates = evaluator.dataset.classes, evaluator.dataset.predicates
    rows = predicted.rows.triples[:count].tolist()
    used = sorted({n for row in rows for n in row[:2]})
    if evaluator.mode == "predcls":
        boxes = np.array([segment.bbox for segment in record.segments], np.float64)
    else:
        boxes = predicted_boxes(predicted, record)
    edges = [Edge(used.index(s), used.index(o), predicates[p], "said") for s, o, p in rows]
    nodes = _nodes(boxes[used], [classes[predicted.categories[n]] for n in used])
    return graph((record.width, record.height), nodes, edges, image, "predicted graph")


def _nodes(boxes: np.ndarray, labels: Sequence[str]) -> list[Node]:
    return [Node(label, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for label, b in zip(labels, boxes.tolist(), strict=True)]


def _image(evaluator: Evaluator, record: Record) -> str | None:
    """The image, or its annotated map in colours where the image is not at hand; as a data URI."""
    try:
        image = read_image(evaluator.dataset.image_path(record))
    except SpadeError:
        try:
            ids = read_panoptic(evaluator.dataset.panoptic_path(record))
        except SpadeError:
            return None
        image = Image.fromarray(
            np.stack([(ids * m % 160 + 80).astype(np.uint8) for m in (2654435761, 40503, 97)], axis=-1)
        )
    return jpeg_uri(image, PIXELS, 72)
