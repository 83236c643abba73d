"""A model's predictions on the records of a data set, for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from spade.core.artifact import Artifact
from spade.core.device import device_name, dtype_name
from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash
from spade.data.samples import annotated_regions, checked_image
from spade.models.checkpoint import BoxModelFile, ModelFile, read_model
from spade.models.config import PredictorOptions
from spade.steps.common import Run
from spade.steps.config import EvalConfig
from spade.steps.predictions import ImageItem, PredictionStore, dataset_items, fill, images_print, predictions_writer
from spade.steps.select_model import predictor_options, select_model
from spade.steps.threads import settle_threads
from spade.structures.scene_graph import SceneGraph, Segment

if TYPE_CHECKING:
    from PIL import Image

    from spade.data.psg import Dataset, Record
    from spade.structures.scene_graph import Prediction

Predict = Callable[["Record", "Image.Image | None"], "Prediction"]


def predict_dataset(config: EvalConfig, dataset: Dataset, records: list[Record], run: Run) -> Artifact:
    """The current model's predictions on these records. A model of labels and boxes opens neither images nor maps."""
    annotated = config.mode == "predcls"
    model = read_model(select_model(config.model, run, ("image", "boxes") if annotated else ("image",)))
    options = predictor_options(model, config.settings, dataset.predicates)
    sees_images = isinstance(model, ModelFile)
    if not sees_images and not annotated:
        raise SpadeError(
            f"{given('mode', config.mode)}: {model.folder} relates segments that are given, and finds none; use "
            f"{given('mode', 'predcls')} with it."
        )
    if isinstance(model, ModelFile) and model.backbone == "tiny" and not dataset.is_world:
        run.report.say(
            "note: the tiny backbone knows the embedded world's images only; figures of photographs say nothing of "
            "SPADE on Stable Diffusion, nor of spade predict --segmenter (docs/photographs.md)"
        )
    items, by_id = dataset_items(dataset, records), {record.image_id: record for record in records}
    prints = {"model": model.fingerprint(), "vocabulary": canonical_hash(dataset.vocabulary.to_json())}
    if annotated:
        content = dataset.fingerprint(records, images=sees_images, panoptic=sees_images, report=run.report)
        prints["annotation"] = canonical_hash([content, [record.image_id for record in records]])
    else:
        prints["images"] = images_print(items, run.report)
    segments = "annotated" if annotated else "found"
    dtype = config.dtype if sees_images else "float32"
    writer = predictions_writer(run, config.device, dtype, options, segments, prints)
    store = PredictionStore(writer, dataset.classes, dataset.predicates)
    if writer.cached:
        return writer.artifact

    @cache
    def predictor() -> Predict:
        """Loaded once, and not where a killed run has left nothing to do."""
        device = device_name(config.device)
        if isinstance(model, BoxModelFile):
            return _box_model(model, device, options, dataset)
        return _image_model(model, device, dtype_name(dtype, device), options, dataset, annotated)

    def read(item: ImageItem) -> Image.Image | None:
        return checked_image(dataset, by_id[item.image_id]) if sees_images else None

    def predict(item: ImageItem, image: Image.Image | None) -> Prediction:
        return predictor()(by_id[item.image_id], image)

    writer.begin()
    try:
        problems = fill(store, items, read, predict, not annotated, run, config.strict)
        return store.finish(str(model.folder), problems, items)
    finally:
        writer.release()


def _image_model(
    model: ModelFile, device: str, dtype: str, options: PredictorOptions, dataset: Dataset, annotated: bool
) -> Predict:
    from spade.models.load import open_model

    settle_threads(model.backbone)
    predictor = open_model(model, device, dtype, options)

    def predict(record: Record, image: Image.Image | None) -> Prediction:
        assert image is not None
        if not annotated:
            return predictor.predict(image, dataset.vocabulary)
        categories = [segment.category for segment in record.segments]
        regions = annotated_regions(dataset, record)
        return predictor.relate(predictor.encode_segments(image, regions, categories, dataset.vocabulary))

    return predict


def _box_model(model: BoxModelFile, device: str, options: PredictorOptions, dataset: Dataset) -> Predict:
    from spade.models.load import open_box_model

    predictor = open_box_model(model, device, options)
    return lambda record, _: predictor.predict(annotated_graph(dataset, record), dataset.vocabulary)


def annotated_graph(dataset: Dataset, record: Record) -> SceneGraph:
    """A record's segments as a graph without relations; no map is opened, so its own is void."""
    names, segments = dataset.classes, []
    for s in record.segments:
        x1, y1, x2, y2 = map(round, s.bbox)
        segments.append(Segment(s.id, names[s.category], s.category, s.is_thing, 1.0, (x1, y1, x2, y2), s.area))
    void = np.zeros((record.height, record.width), np.uint32)
    size = record.width, record.height
    return SceneGraph(record.file_name, *size, tuple(segments), (), names, dataset.predicates, void)
