"""Step 4: images to scene graphs; of a data set, to the exchange format, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spade.core.artifact import ArtifactWriter, keyed
from spade.core.device import device_name, dtype_name
from spade.core.errors import SpadeError
from spade.core.files import read_json, write_json_lines
from spade.core.pipeline import overlapped
from spade.core.text import one_line
from spade.data.image_files import file_text, passed_over
from spade.evaluation.formats.exchange_writer import exchange_header
from spade.evaluation.formats.sources import OWN
from spade.steps.common import Run, StepResult, cached_result, finished_result, report_skipped
from spade.steps.config import PredictConfig
from spade.steps.graph_outputs import Outputs, page_files
from spade.steps.output_folder import copy_files, refuse_foreign
from spade.steps.predict_inputs import expand, lies_in_dataset, test_records, whole_dataset
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
from spade.steps.select_model import PredictionSource, segment_files, select_source
from spade.structures.label_index import OR

if TYPE_CHECKING:
    from PIL import Image

    from spade.data.psg import Dataset, Record
    from spade.structures.scene_graph import Prediction

STEP, VERSION = "predict", 6


def run(config: PredictConfig, run: Run) -> StepResult[PredictResult]:
    """Predict scene graphs of images with the newest trained model, or the packaged one."""
    device = device_name(config.device)
    config = replace(config, device=device, dtype=dtype_name(config.dtype, device))
    dataset = whole_dataset(config, run)
    if dataset is None:
        found = expand(config.images, run.workspace.root)
        paths, records, missing = found.paths[: config.limit], {}, found.problems
        if note := passed_over(found):
            run.report.say(note)
        report_skipped(missing, "names", run.report, config.strict)
        items = [ImageItem(name, file_text(path), path) for name, path in zip(output_names(paths), paths, strict=True)]
    else:
        asked = test_records(dataset)[: config.limit]
        items, records = dataset_items(dataset, asked), {record.image_id: record for record in asked}
        paths, missing = [item.path for item in items], []
    few = len(items) <= MOST_KEPT
    outputs = Outputs(
        config.top,
        config.min_score,
        few if config.figures is None else config.figures,
        few if config.page is None else config.page,
    )
    if config.output is not None:
        inputs = [*paths, *(Path(name) for name in (config.vocab, config.predicates) if name)]
        inputs += segment_files(config, paths)
        names = [*(name for item in items for name in outputs.files(item.name)), *page_files(outputs, len(items))]
        refuse_foreign(config.output, names, inputs, STEP, run.workspace)
    source = select_source(config, None if dataset is None else dataset.vocabulary, paths, run)
    photographs = not all(map(lies_in_dataset, paths)) if dataset is None else not dataset.is_world
    if source.note and photographs:
        run.report.say(source.note)
    prints = source.prints | {"images": images_print(items, run.report)}
    store = None
    if dataset is not None or few:
        segments = "found" if config.segments is None and config.segmenter is None else "given"
        vectors = predictions_writer(run, config.device, config.dtype, source.options, segments, prints)
        store = PredictionStore(vectors, source.vocabulary.names, source.vocabulary.predicates)
    prediction = _Predict(config, outputs, source, items, records, store, run)
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
    for label, meaning in done.result.labels.items():
        run.report.say(f'label "{one_line(label, 80)}": not known by name, stands for {one_line(meaning, 200)}')
    if missing:  # no part of what is kept: the next call may name others
        done = replace(done, result=replace(done.result, skipped=[*missing, *done.result.skipped]))
    if config.output is not None:
        copy_files(done.path, list(writer.artifact.manifest["files"]), config.output)
        done = replace(done, result=replace(done.result, output=str(config.output)))
    return done


@dataclass
class _Tally:
    """What a run has written, and what was wrong with the rest."""

    written: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    segments: int = 0
    relations: int = 0

    def count(self, graph: dict[str, Any]) -> None:
        """Count what a graph's document holds, and what its labels stand for, each answer once."""
        self.segments += len(graph["segments"])
        self.relations += len(graph["relations"])
        for label, meaning in graph["model"].get("labels", {}).items():
            meanings = self.labels.setdefault(label, [])
            meanings += [answer for answer in meaning.split(OR) if answer not in meanings]


class _Predict:
    """One call: images read ahead, predicted unless their score vectors are there, written behind."""

    def __init__(
        self,
        config: PredictConfig,
        outputs: Outputs,
        source: PredictionSource,
        items: Sequence[ImageItem],
        records: dict[str, Record],
        store: PredictionStore | None,
        run: Run,
    ) -> None:
        self.config, self.outputs, self.source, self.items, self.records = config, outputs, source, items, records
        self.store, self.run = store, run
        self.tally = _Tally()
        self._predict: Callable[[Path, Image.Image], Prediction] | None = None

    def writer(self, prints: dict[str, str]) -> ArtifactWriter:
        """The graphs' artifact: of its score vectors where these are kept, else of all that they depend on."""
        if self.store is not None:
            inputs = {"predictions": self.store.writer.key}
            return self.run.workspace.writer(STEP, VERSION, keyed(self.outputs), inputs, force=self.run.force)
        config = keyed(self.config) | keyed(self.outputs) | {"options": keyed(self.source.options)}
        return self.run.workspace.writer(STEP, VERSION, config, {}, prints, self.run.force)

    def result(self, writer: ArtifactWriter, dataset: Dataset | None) -> PredictResult:
        """Write each image's files, unless a killed run wrote them; what was wrong with others, and what labels
        mean.
        """
        tally = self.tally
        work = overlapped(self.items, self._read, lambda item, image: self._work(writer, item, image))
        for _ in self.run.report.track(work, "predict", total=len(self.items)):
            pass
        if not tally.written:
            if self.store is not None and not self.store.writer.cached:
                self.store.writer.abandon()
            raise SpadeError(tally.problems[0])
        report_skipped(tally.problems, "images", self.run.report, self.config.strict)
        for name in tally.written:
            tally.count(read_json(writer.file(f"{name}.json"), "scene graph", "run it again with `force`."))
        predictions = None
        if dataset is not None and self.store is not None:  # while its parts are there
            predictions = str(_write_exchange(writer, self.store, tally.written, dataset).resolve())
        if self.store is not None and not self.store.writer.cached:
            self.store.finish(str(self.source.model), tally.problems, self.items)
        page = self.outputs.write_page(writer, tally.written, self._page_note())
        labels = {label: OR.join(meanings) for label, meanings in tally.labels.items()}
        return PredictResult(
            graphs=[f"{name}.json" for name in tally.written],
            skipped=tally.problems,
            labels=labels,
            model=str(self.source.model),
            predictions=predictions,
            segments=tally.segments,
            relations=tally.relations,
            page=page,
        )

    def _page_note(self) -> str:
        known = "" if not self.source.note else "by the tiny model, which knows the embedded world's images only"
        return "; ".join(note for note in (self.source.segments_from, known) if note)

    def _read(self, item: ImageItem) -> Image.Image | SpadeError:
        from spade.data.images import read_image
        from spade.data.samples import check_size

        try:
            self.outputs.check_name(item)
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
            self.tally.problems.append(str(image))
            return None
        graph = writer.file(f"{item.name}.json")
        done = not writer.anew and graph.is_file() and (self.store is None or self.store.has(item.name))
        try:
            cached = None if done or self.store is None or self.run.force else self.store.get(item.name)
            prediction = self._answer(item, image) if cached is None and not done else cached
        except SpadeError as error:
            self.tally.problems.append(str(error))
            return None
        if not self.tally.written:
            writer.begin()
            if self.store is not None and not self.store.writer.cached:
                self.store.writer.begin()
        self.tally.written.append(item.name)
        if prediction is None:
            return None
        return lambda: self._write(writer, item, image, prediction, cached is None)

    def _answer(self, item: ImageItem, image: Image.Image) -> Prediction:
        if self._predict is None:
            self._predict = self.source.start()
        prediction = self._predict(item.path, image)
        graph, whose = prediction.graph, self.source.segments_from
        model = graph.model | ({"segments": whose} if whose else {})
        return replace(prediction, graph=replace(graph, file_name=file_text(item.path), model=model))

    def _write(
        self, writer: ArtifactWriter, item: ImageItem, image: Image.Image, prediction: Prediction, is_new: bool
    ) -> None:
        if is_new and self.store is not None:
            self.store.add(item, prediction, mapped=True)
            # As any later call reads it, so that what is written does not depend on which came first.
            prediction = self.store.get(item.name) or prediction
        self.outputs.write(writer, item.name, image, prediction)


def _write_exchange(writer: ArtifactWriter, store: PredictionStore, names: Sequence[str], dataset: Dataset) -> Path:
    """The exchange file beside the graphs, which have the pngs that it names."""

    def lines() -> Iterator[dict[str, Any]]:
        for number, name in enumerate(names):
            row = store.row(name)
            if not number:
                yield exchange_header(dataset.classes, dataset.predicates, row["model"])
            if row["pan_seg_file_names"]:  # boxes stand in the row
                row["pan_seg_file_names"] = [f"{name}.png"]
            yield {field: value for field, value in row.items() if field not in ("name", "graph", "model")}

    write_json_lines(writer.file(OWN), lines())
    return writer.file(OWN)
