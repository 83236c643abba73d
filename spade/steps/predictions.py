"""Score vectors of images, made once for ``spade predict`` and ``spade eval``: another number of relations, threshold
or protocol runs no network.

The artifact is an exchange file with its panoptic pngs; each row also holds its scene graph without relations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from spade.core.artifact import Artifact, ArtifactWriter, keyed, verify
from spade.core.device import device_name, dtype_name
from spade.core.digests import digests
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash
from spade.core.pipeline import overlapped
from spade.core.progress import Reporter
from spade.data.image_files import file_text
from spade.evaluation.formats.exchange_writer import ExchangeWriter, exchange_header, exchange_row, prediction_of
from spade.evaluation.formats.sources import OWN
from spade.models.config import PredictorOptions
from spade.steps.common import Run, report_skipped
from spade.steps.results import PredictionsResult
from spade.structures.mask_stack import write_masks
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph_json import scene_graph_of

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.structures.scene_graph import Prediction

STEP, VERSION = "predictions", 5
MOST_KEPT = 200  # images of no data set: of more, score vectors are not kept


@dataclass(frozen=True)
class ImageItem:
    """An image that is predicted: ``name`` of its files, the id that an evaluation knows it by, and where it lies."""

    name: str
    image_id: str
    path: Path


def dataset_items(dataset: Dataset, records: Sequence[Record]) -> list[ImageItem]:
    """An item a record: a data set may annotate an image twice, and each annotation is asked for."""
    paths = [dataset.image_path(record) for record in records]
    return [
        ImageItem(name, record.image_id, path)
        for name, record, path in zip(output_names(paths), records, paths, strict=True)
    ]


def output_names(paths: Sequence[Path]) -> list[str]:
    """Names of outputs: the images' stems, numbered where one of their files would meet another's."""
    used = {"manifest.json"}
    names = []
    for path in paths:
        stem = Path(file_text(path)).stem.replace("\\", "_")  # both slashes separate in files
        name, number = stem, 1
        while used & (files := {f"{name}{ending}".casefold() for ending in (".json", ".png", ".figure.png")}):
            number += 1
            name = f"{stem}-{number}"
        used |= files
        names.append(name)
    return names


def images_print(items: Sequence[ImageItem], report: Reporter | None = None) -> str:
    """Hash of what images hold, of their names and ids; an absent one counts as null."""
    content = digests([item.path for item in items], report)
    return canonical_hash(
        [[item.image_id, file_text(item.path), digest] for item, digest in zip(items, content, strict=True)]
    )


def predictions_writer(
    run: Run, device: str, dtype: str, options: PredictorOptions, segments: str, prints: Mapping[str, str]
) -> ArtifactWriter:
    """The artifact of predictions that depend on ``prints``. segments: found, given by a file, or annotated."""
    name = device_name(device)
    config = {"device": name, "dtype": dtype_name(dtype, name), "options": keyed(options), "segments": segments}
    return run.workspace.writer(STEP, VERSION, config, fingerprints=prints, force=run.force)


class PredictionStore:
    """Predictions of an artifact that is being made, or was made; images in it need no network."""

    def __init__(self, writer: ArtifactWriter, classes: Sequence[str], predicates: Sequence[str]) -> None:
        self.writer = writer
        self._header = exchange_header(classes, predicates, {})
        self._exchange = ExchangeWriter(writer.path, self._header, OWN)
        self._opened: dict[str, tuple[int, int]] | None = None

    @property
    def path(self) -> Path:
        """The exchange file."""
        return self.writer.file(OWN)

    @property
    def _at(self) -> dict[str, tuple[int, int]]:
        """Where each image's row lies in the finished file, which is checked when it is first asked."""
        if self._opened is None:
            verify(self.writer.artifact, "make it anew with: spade predict or spade eval, and `force`")
            self._opened = dict(_index(self.writer.file(OWN)))
        return self._opened

    def has(self, name: str) -> bool:
        """Whether an image is there already."""
        return name in self._at if self.writer.cached else self._exchange.has(name)

    def get(self, name: str) -> Prediction | None:
        """An image's prediction; None where it is not there yet."""
        if not self.has(name):
            return None
        row = self.row(name)
        return prediction_of(row, scene_graph_of(row["graph"], self.path))

    def row(self, name: str) -> dict[str, Any]:
        """An image's row."""
        if not self.writer.cached:
            return dict(json.loads(self._exchange.part(name).read_bytes()))
        with open(self.path, "rb") as file:
            file.seek(self._at[name][0])
            return dict(json.loads(file.read(self._at[name][1])))

    def add(self, item: ImageItem, prediction: Prediction, mapped: bool) -> None:
        """Write an image's prediction, rounded and with its best pairs; ``mapped``: whether its segments are its own, a
        map or boxes.
        """
        ids = prediction.graph.panoptic
        png = f"panoptic/{item.name}.png" if mapped and ids is not None else None
        row = {"name": item.name, **exchange_row(item.image_id, prediction, png, mapped and ids is None)}
        if png is not None and ids is not None:
            write_panoptic(self.writer.file(png), ids)
        if mapped:
            row["graph"] = replace(prediction.graph, relations=()).to_json(png)
            if prediction.proposals is not None:
                stack = f"proposals/{item.name}.png"
                write_masks(self.writer.file(stack), prediction.proposals)
                row["proposals"] = {"file_name": stack, "count": len(prediction.proposals)}
        row["model"] = prediction.graph.model
        self._exchange.add(item.name, row)

    def finish(self, model: str, skipped: list[str], items: Sequence[ImageItem]) -> Artifact:
        """Close the artifact. Raises SpadeError, and leaves nothing, where no image could be predicted."""
        there = [item.name for item in items if self._exchange.has(item.name)]
        if not there:
            self.writer.abandon()
            raise SpadeError(skipped[0])
        facts = {name: value for name, value in self.row(there[0])["model"].items() if name != "labels"}
        self._exchange.header = {**self._header, "model": facts}
        self._exchange.finish(there)
        return self.writer.finish(PredictionsResult(model, skipped).to_json())


class _Named(msgspec.Struct):
    name: str = ""


def _index(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Names of the images in an exchange file, and where their rows lie."""
    at, decode = 0, msgspec.json.Decoder(_Named).decode
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if number:
                yield decode(line).name, (at, len(line))
            at += len(line)


def fill(
    store: PredictionStore,
    items: Sequence[ImageItem],
    read: Callable[[ImageItem], Any],
    predict: Callable[[ImageItem, Any], Prediction],
    mapped: bool,
    run: Run,
    strict: bool,
) -> list[str]:
    """Predict what is not there yet, while the next images are read and the last ones written; returns what was wrong
    with those that were left out. mapped: whether predictions have maps of their own.
    """
    problems: list[str] = []

    def work(item: ImageItem, content: Any) -> Callable[[], None] | None:
        try:
            if isinstance(content, SpadeError):
                raise content
            prediction = predict(item, content)
        except SpadeError as error:
            problems.append(str(error))
            return None
        return lambda: store.add(item, prediction, mapped)

    def read_or_error(item: ImageItem) -> Any:
        try:
            return read(item)
        except SpadeError as error:
            return error

    missing = [item for item in items if not store.has(item.name)]
    done = len(items) - len(missing)
    for _ in run.report.track(overlapped(missing, read_or_error, work), "predict", total=len(items), done=done):
        pass
    report_skipped(problems, "images", run.report, strict)
    return problems
