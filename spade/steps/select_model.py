"""From a command's options to what predicts: which model, which names, and whose segments. Nothing heavy is imported
before an image is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spade.core.device import device_name
from spade.core.digests import digest
from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash
from spade.core.hub import fingerprint
from spade.core.settings import configure
from spade.models.checkpoint import (
    BoxModelFile,
    ModelFile,
    find_model,
    newest_model,
    packaged,
    read_image_model,
    read_model,
)
from spade.models.config import PredictorOptions
from spade.segmentation.segmenter_files import resolve_segmenter
from spade.steps.common import Run, no_source
from spade.steps.config import PredictConfig
from spade.steps.encode_vocabulary import use_encoded
from spade.steps.threads import settle_threads
from spade.structures.label_index import refuse_unknown_predicates
from spade.structures.vocabulary import Label, Vocabulary
from spade.structures.vocabulary_file import given_vocabulary, read_vocabulary

if TYPE_CHECKING:
    from PIL import Image

    from spade.structures.scene_graph import Prediction, SceneGraph

Predict = Callable[[Path, "Image.Image"], "Prediction"]
Segments = Callable[[Path, "Image.Image"], "SceneGraph"]


@dataclass(frozen=True)
class PredictionSource:
    """What predicts: ``start`` loads what is needed, and gives the function that predicts an image. ``options`` and
    ``prints`` are what predictions depend on, beside the images.
    """

    model: Path
    vocabulary: Vocabulary
    options: PredictorOptions
    prints: dict[str, str]
    start: Callable[[], Predict]
    note: str = ""
    segments_from: str = ""  # whose segments are related, where the model does not find them


def select_source(
    config: PredictConfig, vocabulary: Vocabulary | None, paths: Sequence[Path], run: Run
) -> PredictionSource:
    """Images alone go through a model that sees images; given or found segments through one of labels and boxes, or
    through the one that is named. ``vocabulary``: of the data set, where its own names are wanted.
    """
    by_segments = config.segments is not None or config.segmenter is not None
    folder = select_model(config.model, run, ("boxes",) if by_segments else ("image",))
    if not by_segments:
        model = read_image_model(folder)
        wanted = _vocabulary(config, model.vocabulary if vocabulary is None else vocabulary)
        options = predictor_options(model, config.settings, wanted.predicates)
        start = lambda: _image_model(config, model, options, wanted, run)  # noqa: E731
        return PredictionSource(folder, wanted, options, _prints(model, wanted), start, _note(model))
    found = read_model(folder)
    wanted = _vocabulary(config, found.vocabulary)
    options = predictor_options(found, config.settings, wanted.predicates)
    prints, segments, whose = _segments(config, paths, wanted.objects)
    if config.vocab is not None:
        run.report.say("note: segments keep their labels; a vocabulary says what these mean, not which are looked for")
    if isinstance(found, ModelFile):
        image_model = found
        start = lambda: _image_model(config, image_model, options, wanted, run, segments())  # noqa: E731
        return PredictionSource(folder, wanted, options, _prints(found, wanted) | prints, start, _note(found), whose)
    if found.clip is None:
        refuse_unknown_predicates(wanted.predicates, found.vocabulary.predicates)
    # Of a label the user's word counts, then what its segment says; the model's own list would say it of all of one
    # name.
    users = () if config.vocab is None else given_vocabulary(config.vocab, Vocabulary((), ())).objects
    meanings, box_model = replace(wanted, objects=users), found
    start = lambda: _box_model(config, box_model, options, meanings, segments())  # noqa: E731
    return PredictionSource(folder, wanted, options, _prints(found, meanings) | prints, start, "", whose)


def predictor_options(
    model: ModelFile | BoxModelFile, settings: Mapping[str, Any], predicates: Sequence[str]
) -> PredictorOptions:
    """The options of a predictor that is asked for ``predicates``: as the model was saved, but for what was set by
    name. Raises SpadeError for an option of the other kind of model, and for one that would change nothing.
    """
    options = configure({"options": PredictorOptions()}, {}, settings)["options"]
    _refuse_other_options(model, options)
    trained = {name.casefold() for name in model.vocabulary.predicates}
    if options.denoised_pairs and len({name.casefold() for name in predicates} - trained) < 2:
        raise SpadeError(
            f"{given('denoised_pairs', options.denoised_pairs)}: tells predicates apart that training did not have, "
            "and fewer than two of these are asked for; leave it out, or list more of them in a vocabulary."
        )
    asked = {name: value for name, value in vars(options).items() if value is not None}
    return replace(model.options, **asked)


def _refuse_other_options(model: ModelFile | BoxModelFile, options: PredictorOptions) -> None:
    """Raise SpadeError for an option that this kind of model has no use for."""
    if isinstance(model, ModelFile) and options.logit_adjustment is not None:
        raise SpadeError(
            f"{given('logit_adjustment', options.logit_adjustment)}: belongs to a model of labels and boxes; "
            "leave it out with one that sees images."
        )
    for name in ("fusion", "unseen_odds", "denoised_pairs"):
        if isinstance(model, BoxModelFile) and (value := getattr(options, name)) is not None:
            raise SpadeError(
                f"{given(name, value)}: belongs to a model that sees images; leave it out with one of labels and boxes."
            )


def select_model(model: str | Path | None, run: Run, inputs: Sequence[str] = ("image",)) -> Path:
    """The model to use: the one named, the workspace's newest that sees one of ``inputs`` (or that of the named key),
    or the packaged one; says which.
    """
    if model is not None:
        no_source(run, "a command with a model")
        return find_model(model, inputs)
    newest = newest_model(run.workspace, inputs, run.source)
    if newest is not None:
        run.report.say(f"model: {newest.step}/{newest.key} of this workspace")
        return newest.path
    what = "tiny one" if inputs[0] == "image" else "relations of labels and boxes, learned from PSG's annotation"
    run.report.say(f"model: the packaged {what} (no other of its kind was trained in this workspace)")
    return packaged(inputs[0])


def _image_model(
    config: PredictConfig,
    model: ModelFile,
    options: PredictorOptions,
    vocabulary: Vocabulary,
    run: Run,
    segments: Segments | None = None,
) -> Predict:
    """A model that sees images, on its own segments or on others'."""
    from spade.models.load import open_model

    if config.segmenter is None:  # which may be large
        settle_threads(model.backbone)
    predictor = open_model(model, config.device, config.dtype, options)
    if segments is None:
        use_encoded(predictor, model, vocabulary, config, run)
        return lambda path, image: predictor.predict(image, vocabulary)
    return lambda path, image: predictor.relate_segments(image, segments(path, image), vocabulary)


def _box_model(
    config: PredictConfig, model: BoxModelFile, options: PredictorOptions, vocabulary: Vocabulary, segments: Segments
) -> Predict:
    """A model of labels and boxes."""
    from spade.models.load import open_box_model

    predictor = open_box_model(model, config.device, options)
    return lambda path, image: predictor.predict(segments(path, image), vocabulary)


def segment_files(config: PredictConfig, paths: Sequence[Path]) -> list[Path]:
    """The files that hold the segments which are given for these images."""
    if config.segments is None:
        return []
    from spade.segmentation.given import GivenSegments

    return GivenSegments(config.segments).files(paths)


def _segments(
    config: PredictConfig, paths: Sequence[Path], known: Sequence[Label]
) -> tuple[dict[str, str], Callable[[], Segments], str]:
    """What the segments depend on, a function that opens their source, and whose they are."""
    if config.segments is not None:
        from spade.segmentation.given import GivenSegments

        source = GivenSegments(config.segments)
        content = canonical_hash([digest(path) for path in source.files(paths)])
        whose = source.description or f"segments given by {config.segments.name}"
        return {"segments": content}, lambda: lambda path, image: source.of(path, image.size), whose
    assert config.segmenter is not None
    name = config.segmenter

    def start() -> Segments:
        from spade.core.device import open_device
        from spade.segmentation.pretrained import PretrainedSegmenter

        segmenter = PretrainedSegmenter(name, open_device(device_name(config.device)), known)
        return lambda path, image: segmenter(image, path.name)

    return {"segmenter": fingerprint(resolve_segmenter(name))}, start, f"segments found by {name}"


def _prints(model: ModelFile | BoxModelFile, vocabulary: Vocabulary) -> dict[str, str]:
    return {"model": model.fingerprint(), "vocabulary": canonical_hash(vocabulary.to_json())}


def _note(model: ModelFile) -> str:
    if model.backbone != "tiny":
        return ""
    return (
        "note: the tiny model knows the embedded world's images only, and guesses at photographs; "
        f"for those, let {given('segmenter', 'coco-tiny')} find the segments (docs/photographs.md)"
    )


def _vocabulary(config: PredictConfig, trained: Vocabulary) -> Vocabulary:
    """The user's labels where given, the model's training list elsewhere."""
    chosen = trained if config.vocab is None else given_vocabulary(config.vocab, trained)
    if config.predicates is not None:
        read = read_vocabulary(config.predicates, (), section="predicates")
        if not read.predicates:
            raise SpadeError(f"{config.predicates}: no predicate found; write one a line, for example: holding")
        chosen = Vocabulary(chosen.objects, read.predicates)
    return chosen
