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
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, sha256_file
from spade.evaluation.formats.exchange_writer import ExchangeWriter, exchange_header, exchange_row, prediction_of
from spade.evaluation.formats.sources import OWN
from spade.models.config import PredictorOptions
from spade.steps.common import Run, report_skipped
from spade.steps.results import PredictionsResult
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph_json import scene_graph_of

if TYPE_CHECKING:
    from spade.structures.scene_graph import Prediction

STEP, VERSION = "predictions", 1
MOST_KEPT = 200  # images of no data set: of more, score vectors are not kept


@dataclass(frozen=True)
class ImageItem:
    """An image that is predicted: ``name`` of its files, the id that an evaluation knows it by, and where it lies."""

    name: str
    image_id: str
    path: Path


def images_print(items: Sequence[ImageItem]) -> str:
    """Hash of what images hold, of their names and ids; an absent one counts as null."""
    content = [sha256_file(item.path) if item.path.is_file() else None for item in items]
    return canonical_hash(
        [[item.image_id, item.path.name, digest] for item, digest in zip(items, content, strict=True)]
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
        self._at: dict[str, tuple[int, int]] = {}  # where an image's row lies in the finished file
        if writer.cached:
            verify(writer.artifact, "make it anew with: spade predict or spade eval, and `force`")
            self._at = dict(_index(writer.file(OWN)))

    @property
    def path(self) -> Path:
        """The exchange file."""
        return self.writer.file(OWN)

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
        """Write an image's prediction; ``mapped``: whether it has a map of its own."""
        png = f"panoptic/{item.name}.png" if mapped else None
        row = {"name": item.name, **exchange_row(item.image_id, prediction, png)}
        if png is not None:
            write_panoptic(self.writer.file(png), prediction.graph.panoptic)
            row["graph"] = replace(prediction.graph, relations=()).to_json(png)
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
    predict: Callable[[ImageItem], tuple[Prediction, bool]],
    run: Run,
    strict: bool,
) -> list[str]:
    """Predict what is not there yet; returns what was wrong with images that were left out."""
    problems: list[str] = []
    for item in run.report.track(items, "predict"):
        if store.has(item.name):
            continue
        try:
            store.add(item, *predict(item))
        except SpadeError as error:
            problems.append(str(error))
    report_skipped(problems, "images", run.report, strict)
    return problems
