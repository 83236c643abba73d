"""A model's predictions as an exchange file, written image by image, so that a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.files import write_chunks, write_json_lines
from spade.evaluation.formats.exchange import FORMAT, VERSION
from spade.structures.scene_graph import Prediction, SceneGraph

MOST_PAIRS = 1000  # of an image: no metric looks at more


def exchange_header(classes: Sequence[str], predicates: Sequence[str], model: Mapping[str, Any]) -> dict[str, Any]:
    """The first line of an exchange file."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "object_classes": list(classes),
        "predicate_classes": list(predicates),
        "model": dict(model),
    }


def exchange_row(image_id: str, prediction: Prediction, png: str | None, with_boxes: bool = False) -> dict[str, Any]:
    """One image of an exchange file with its best ``MOST_PAIRS`` pairs; ``png`` is the panoptic map's path relative to
    the file, None where segments were given, or are boxes, which stand in the row then (``with_boxes``).
    """
    graph, chosen = prediction.graph, best_pairs(prediction)
    return {
        "image_id": image_id,
        "height": graph.height,
        "width": graph.width,
        "pan_seg_file_names": [] if png is None else [png],
        "segments_info": [
            {
                "layer": 0,
                "id": s.id,
                "category_id": s.category_id,
                "isthing": int(s.is_thing),
                "score": round(s.score, 6),
                **({"bbox": list(s.bbox)} if with_boxes else {}),
            }
            for s in graph.segments
        ],
        "relations": [
            {
                "subject": int(prediction.pairs[r, 0]),
                "object": int(prediction.pairs[r, 1]),
                "scores": [round(float(v), 6) for v in prediction.scores[r]],
                "no_relation": round(float(prediction.no_relation[r]), 6),
            }
            for r in chosen
        ],
    }


def best_pairs(prediction: Prediction) -> np.ndarray:
    """The rows of the best ``MOST_PAIRS`` pairs, in their order: by best predicate score times both segments'
    scores.
    """
    if len(prediction.pairs) <= MOST_PAIRS:
        return np.arange(len(prediction.pairs))
    sure = np.array([segment.score for segment in prediction.graph.segments])
    rank = np.argsort(-prediction.scores.max(1) * sure[prediction.pairs].prod(1), kind="stable")
    return np.sort(rank[:MOST_PAIRS])


def prediction_of(row: Mapping[str, Any], graph: SceneGraph) -> Prediction:
    """The inverse of ``exchange_row``: score vectors of a row, and the graph without relations that they belong to."""
    relations = row["relations"]
    pairs = np.array([[r["subject"], r["object"]] for r in relations], np.int64).reshape(-1, 2)
    scores = np.array([r["scores"] for r in relations], np.float32).reshape(len(pairs), len(graph.predicates))
    return Prediction(graph, pairs, scores, np.array([r["no_relation"] for r in relations], np.float32))


class ExchangeWriter:
    """Keeps one part per image in ``folder``/parts, and joins the parts at the end."""

    def __init__(self, folder: Path, header: Mapping[str, Any], file_name: str) -> None:
        self.folder, self.header, self.file_name = folder, header, file_name

    def part(self, name: str) -> Path:
        """Where an image's part is kept."""
        return self.folder / "parts" / f"{name}.jsonl"

    def has(self, name: str) -> bool:
        """Whether this image was finished before."""
        return self.part(name).is_file()

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Write an image's row."""
        write_json_lines(self.part(name), [row])

    def finish(self, names: Sequence[str]) -> None:
        """Write the exchange file, of those of ``names`` that are there, in this order, and drop the parts."""
        write_chunks(self.folder / self.file_name, self._lines([name for name in names if self.has(name)]))
        for part in (self.folder / "parts").iterdir():
            part.unlink()
        (self.folder / "parts").rmdir()

    def _lines(self, names: Sequence[str]) -> Iterator[bytes]:
        yield (json.dumps(self.header, ensure_ascii=False) + "\n").encode("utf-8")
        for name in names:
            yield self.part(name).read_bytes()
