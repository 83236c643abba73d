"""A model's predictions on a data set as an exchange file, written picture by picture, so that a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spade.data.psg import Dataset, Record
from spade.evaluation.exchange import exchange_header, exchange_row
from spade.evaluation.sources import OWN
from spade.files import write_chunks, write_json_lines
from spade.scene_graph import Prediction
from spade.workspace import Draft


class ExchangeWriter:
    """Keeps one part a picture beside the payload, and joins the parts at the end."""

    def __init__(self, draft: Draft, dataset: Dataset, model: dict[str, Any]) -> None:
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
