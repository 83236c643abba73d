"""A model's predictions on a data set as an exchange file, written picture by picture, so that a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spade.core.files import write_chunks, write_json_lines
from spade.core.workspace import ArtifactWriter
from spade.data.psg import Dataset, Record
from spade.evaluation.formats.exchange import FORMAT, VERSION
from spade.evaluation.formats.sources import OWN
from spade.structures.scene_graph import Prediction


def exchange_header(classes: Sequence[str], predicates: Sequence[str], model: Mapping[str, Any]) -> dict[str, Any]:
    """The first line of an exchange file."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "object_classes": list(classes),
        "predicate_classes": list(predicates),
    }
    return header | {"model": dict(model)}


def exchange_row(record: Record, prediction: Prediction, png: str | None) -> dict[str, Any]:
    """One image of an exchange file; ``png`` is the panoptic map's path relative to it, None where segments were
    given.
    """
    graph = prediction.graph
    return {
        "image_id": record.image_id,
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
            }
            for s in graph.segments
        ],
        "relations": [
            {
                "subject": int(s),
                "object": int(o),
                "scores": [round(float(v), 6) for v in row],
                "no_relation": round(float(nothing), 6),
            }
            for (s, o), row, nothing in zip(prediction.pairs, prediction.scores, prediction.no_relation, strict=True)
        ],
    }


class ExchangeWriter:
    """Keeps one part a picture beside the payload, and joins the parts at the end."""

    def __init__(self, draft: ArtifactWriter, dataset: Dataset, model: dict[str, Any]) -> None:
        self.draft, self.dataset, self.model = draft, dataset, model
        self._names: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether no picture takes part yet."""
        return not self._names

    def has(self, name: str) -> bool:
        """Whether this picture was finished before; if so, it takes part."""
        there = self._part(name).is_file()
        if there:
            self._names.append(name)
        return there

    def add(self, name: str, record: Record, prediction: Prediction, png: str | None) -> None:
        """Write a picture's rows; its map lies at ``png``, or nowhere where segments were given."""
        write_json_lines(self._part(name), [exchange_row(record, prediction, png)])
        self._names.append(name)

    def finish(self) -> None:
        """Write the exchange file and drop the parts."""
        write_chunks(self.draft.file(OWN), self._lines())
        for part in self.draft.file("parts").iterdir():
            part.unlink()
        self.draft.file("parts").rmdir()

    def _lines(self) -> Iterator[bytes]:
        header = exchange_header(self.dataset.classes, self.dataset.predicates, self.model)
        yield (json.dumps(header, ensure_ascii=False) + "\n").encode("utf-8")
        for name in self._names:
            yield self._part(name).read_bytes()

    def _part(self, name: str) -> Path:
        return self.draft.file(f"parts/{name}.jsonl")
