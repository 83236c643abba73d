"""Step 4: images to scene graphs; of a data set, to the exchange format, too."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spade.core.artifact import ArtifactWriter, keyed
from spade.core.device import device_name, dtype_name
from spade.core.errors import SpadeError, given
from spade.core.files import read_json, write_bytes, write_json, write_json_lines
from spade.core.pipeline import overlapped
from spade.core.text import one_line
from spade.evaluation.formats.exchange_writer import exchange_header
from spade.evaluation.formats.sources import OWN
from spade.steps.common import Run, StepResult, cached_result, finished_result, report_skipped
from spade.steps.config import PredictConfig
from spade.steps.predictions import (
    MOST_KEPT,
    ImageItem,
    PredictionStore,
    dataset_items,
    images_print,
    output_names,
    predictions_writer,
)
from spade.steps.results import PredictResult
from spade.steps.select_model import PredictionSource, select_source
from spade.structures.label_index import OR

if TYPE_CHECKING:
    from PIL import Image

    from spade.data.psg import Dataset, Record
    from spade.structures.scene_graph import Prediction

STEP, VERSION = "predict", 4


def run(config: PredictConfig, run: Run) -> StepResult[PredictResult]:
    """Predict scene graphs of images with the newest trained model, or the packaged one."""
    device = device_name(config.device)
    config = replace(config, device=device, dtype=dtype_name(config.dtype, device))
    dataset = _whole_dataset(config)
    if dataset is None:
        paths, records = expand(config.images)[: config.limit], {}
        items = [ImageItem(name, path.name, path) for name, path in zip(output_names(paths), paths, strict=True)]
    else:
        asked = test_records(dataset)[: config.limit]
        items, records = dataset_items(dataset, asked), {record.image_id: record for record in asked}
        paths = [item.path for item in items]
    source = select_source(config, None if dataset is None else dataset.vocabulary, paths, run)
    prints = source.prints | {"images": images_print(items)}
    store = None
    if dataset is not None or len(items) <= MOST_KEPT:
        segments = "found" if config.segments is None and config.segmenter is None else "given"
        vectors = predictions_writer(run, config.device, config.dtype, source.options, segments, prints)
        store = PredictionStore(vectors, source.vocabulary.names, source.vocabulary.predicates)
    prediction = _Predict(config, source, items, records, store, run)
    writer = prediction.writer(prints)
    if writer.cached:
        done = cached_result(PredictResult, writer, config.strict)
    else:
        try:
            done = finished_result(PredictResult, writer.finish(prediction.result(writer, dataset).to_json()))
        finally:
            writer.release()
            if store is not None:
                store.writer.release()
    if config.output is not None:
        _copy(writer.path, config.output)
    for label, meaning in done.result.labels.items():
        run.report.say(f'label "{one_line(label, 80)}": not known by name, stands for {one_line(meaning, 200)}')
    if source.note:
        run.report.say(source.note)
    return done


class _Predict:
    """One call: images read ahead, predicted unless their score vectors are there, written behind."""

    def __init__(
        self,
        config: PredictConfig,
        source: PredictionSource,
        items: Sequence[ImageItem],
        records: dict[str, Record],
        store: PredictionStore | None,
        run: Run,
    ) -> None:
        self.config, self.source, self.items, self.records = config, source, items, records
        self.store, self.run = store, run
        self.written: list[str] = []
        self.problems: list[str] = []
        self.labels: dict[str, list[str]] = {}
        self._predict: Callable[[Path, Image.Image], Prediction] | None = None

    def writer(self, prints: dict[str, str]) -> ArtifactWriter:
        """The graphs' artifact: of its score vectors where these are kept, else of all that they depend on."""
        chosen = {"top": self.config.top, "min_score": self.config.min_score}
        if self.store is not None:
            inputs = {"predictions": self.store.writer.key}
            return self.run.workspace.writer(STEP, VERSION, chosen, inputs, force=self.run.force)
        config = keyed(self.config) | {"options": keyed(self.source.options)}
        return self.run.workspace.writer(STEP, VERSION, config, {}, prints, self.run.force)

    def result(self, writer: ArtifactWriter, dataset: Dataset | None) -> PredictResult:
        """Write each image's files, unless a killed run wrote them; what was wrong with others, and what labels
        mean.
        """
        work = overlapped(self.items, self._read, lambda item, image: self._work(writer, item, image))
        for _ in self.run.report.track(work, "predict", total=len(self.items)):
            pass
        if not self.written:
            if self.store is not None and not self.store.writer.cached:
                self.store.writer.abandon()
            raise SpadeError(self.problems[0])
        report_skipped(self.problems, "images", self.run.report, self.config.strict)
        predictions = None
        if dataset is not None and self.store is not None:  # while its parts are there
            predictions = str(_write_exchange(writer, self.store, self.written, dataset).resolve())
        if self.store is not None and not self.store.writer.cached:
            self.store.finish(str(self.source.model), self.problems, self.items)
        labels = {label: OR.join(meanings) for label, meanings in self.labels.items()}
        graphs = [f"{name}.json" for name in self.written]
        return PredictResult(graphs, self.problems, labels, str(self.source.model), predictions)

    def _read(self, item: ImageItem) -> Image.Image | SpadeError:
        from spade.data.images import read_image
        from spade.data.samples import check_size

        try:
            image = read_image(item.path)
            if item.image_id in self.records:
                check_size(item.path, image, self.records[item.image_id])
            return image
        except SpadeError as error:
            return error

    def _work(
        self, writer: ArtifactWriter, item: ImageItem, image: Image.Image | SpadeError
    ) -> Callable[[], None] | None:
        """What is to be written of an image."""
        if isinstance(image, SpadeError):
            self.problems.append(str(image))
            return None
        graph = writer.file(f"{item.name}.json")
        done = not self.run.force and graph.is_file() and (self.store is None or self.store.has(item.name))
        try:
            cached = None if done or self.store is None or self.run.force else self.store.get(item.name)
            prediction = self._answer(item, image) if cached is None and not done else cached
        except SpadeError as error:
            self.problems.append(str(error))
            return None
        if not self.written:
            writer.begin()
            if self.store is not None and not self.store.writer.cached:
                self.store.writer.begin()
        self.written.append(item.name)
        if prediction is None:
            self._note(read_json(graph, "scene graph", "run it again with `force`.")["model"])
            return None
        self._note(prediction.graph.model)
        return lambda: self._write(writer, item, image, prediction, cached is None)

    def _answer(self, item: ImageItem, image: Image.Image) -> Prediction:
        if self._predict is None:
            self._predict = self.source.start()
        prediction = self._predict(item.path, image)
        return replace(prediction, graph=replace(prediction.graph, file_name=item.path.name))

    def _write(
        self, writer: ArtifactWriter, item: ImageItem, image: Image.Image, prediction: Prediction, is_new: bool
    ) -> None:
        from spade.export.figure import figure_png
        from spade.structures.panoptic_png import write_panoptic
        from spade.structures.scene_graph import best_relations

        if is_new and self.store is not None:
            self.store.add(item, prediction, mapped=True)
            # As any later call reads it, so that what is written does not depend on which came first.
            prediction = self.store.get(item.name) or prediction
        graph, config = prediction.graph, self.config
        relations = best_relations(
            graph.segments, prediction.pairs, prediction.scores, graph.predicates, config.top, config.min_score
        )
        graph = replace(graph, relations=relations)
        write_panoptic(writer.file(f"{item.name}.png"), graph.panoptic)
        write_bytes(writer.file(f"{item.name}.figure.png"), figure_png(image, graph))
        write_json(writer.file(f"{item.name}.json"), graph.to_json(f"{item.name}.png"))

    def _note(self, model: dict[str, Any]) -> None:
        """Add what an image's labels stand for, each answer once."""
        for label, meaning in model.get("labels", {}).items():
            meanings = self.labels.setdefault(label, [])
            meanings += [answer for answer in meaning.split(OR) if answer not in meanings]


def _write_exchange(writer: ArtifactWriter, store: PredictionStore, names: Sequence[str], dataset: Dataset) -> Path:
    """The exchange file beside the graphs, which have the pngs that it names."""

    def lines() -> Iterator[dict[str, Any]]:
        for number, name in enumerate(names):
            row = store.row(name)
            if not number:
                yield exchange_header(dataset.classes, dataset.predicates, row["model"])
            row["pan_seg_file_names"] = [f"{name}.png"]
            yield {field: value for field, value in row.items() if field not in ("name", "graph", "model")}

    write_json_lines(writer.file(OWN), lines())
    return writer.file(OWN)


def expand(names: Sequence[str]) -> list[Path]:
    """Files, folders, globs and data sets to image files. Raises SpadeError when a name leads to none."""
    from spade.data.images import EXTENSIONS

    if not names:
        raise SpadeError("no image named; for example: spade predict photo.jpg")
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            images = _dataset_images(path) or sorted(
                p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()
            )
        elif path.is_file():
            images = [path]
        else:
            images = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())
        if not images:
            raise SpadeError(f"{name}: no image there; name an image file, a folder of images or a data set.")
        found += images
    return list(dict.fromkeys(found))


def _whole_dataset(config: PredictConfig) -> Dataset | None:
    """The data set, where just one was named and its own labels are wanted: then the exchange format can be written."""
    own_names = config.vocab is None and config.predicates is None
    if len(config.images) != 1 or not own_names or config.segments is not None or config.segmenter is not None:
        return None
    folder = Path(config.images[0])
    if not folder.is_dir() or not _dataset_images(folder):
        return None
    from spade.data.psg_reader import load_psg

    return load_psg(folder)


def _dataset_images(folder: Path) -> list[Path]:
    """The test images of a PSG data set; nothing where the folder is none."""
    from spade.data.psg_reader import is_dataset, load_psg

    if not is_dataset(folder):
        return []
    dataset = load_psg(folder)
    return [dataset.image_path(record) for record in test_records(dataset)]


def test_records(dataset: Dataset) -> list[Record]:
    """A data set's test records; all where it has none."""
    return dataset.split("test") or dataset.split("all")


def _copy(source: Path, target: Path) -> None:
    """Copy the payload to where the user wants it."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if path.is_file() and path.name not in ("manifest.json", ".lock"):
                shutil.copy2(path, target / path.name)
    except OSError as error:
        raise SpadeError(f"{target}: cannot be written ({error.strerror}); choose another {given('output')}.") from None
