"""The ways from a picture to a scene graph: which model, which names, and whose segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from spade.core.device import pick_device
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, sha256_file
from spade.core.workspace import nodes_of
from spade.data.psg import Dataset
from spade.diffusion.backbone_files import fingerprint
from spade.models.checkpoint import find_model, model_fingerprint, model_nodes, packaged, read_box_model, read_model
from spade.models.load import load, load_relation_predictor
from spade.segmentation.given import GivenSegments
from spade.segmentation.pretrained import PretrainedSegmenter
from spade.segmentation.segmenter_files import resolve_segmenter
from spade.steps.common import Run, no_source
from spade.steps.config import PredictConfig
from spade.structures.label_index import known_predicates
from spade.structures.scene_graph import Prediction, SceneGraph
from spade.structures.vocabulary import Label, Vocabulary, read_vocabulary, user_vocabulary

Answer = Callable[[Path, Image.Image], Prediction]
Segments = Callable[[Path, Image.Image], SceneGraph]


@dataclass(frozen=True)
class PredictionSource:
    """``start`` loads what is needed, and gives the answer to a picture and what the model says of itself."""

    model: Path
    prints: dict[str, str]
    start: Callable[[], tuple[Answer, dict[str, Any]]]
    note: str = ""


def select_source(config: PredictConfig, dataset: Dataset | None, paths: Sequence[Path], run: Run) -> PredictionSource:
    """Pictures alone go through a diffusion model; given or found segments through a model of layout, or the one that
    is named.
    """
    by_segments = config.segments is not None or config.segmenter is not None
    folder = select_model(config.model, run, ("layout",) if by_segments else ("diffusion",))
    refuse_the_others(model_nodes(folder), config.balance, config.fusion, config.novel_odds)
    if not by_segments:
        trained = read_model(folder).vocabulary
        words = _vocabulary(config, trained if dataset is None else dataset.vocabulary)
        return PredictionSource(folder, _prints(folder, words), lambda: _looking(config, folder, words), _note(folder))
    if model_nodes(folder) == "layout":
        own = read_box_model(folder)
        words = _vocabulary(config, own.vocabulary)
        if own.clip is None:
            known_predicates(words.predicates, own.vocabulary.predicates)
        prints, segments = _segments(config, paths, words.objects)
        # Of a label the user's word counts, then what its segment says; the model's own list would say it of all of one
        # name.
        users = () if config.vocab is None else read_vocabulary(config.vocab, ()).objects
        said = replace(words, objects=users)
        return PredictionSource(
            folder, _prints(folder, said) | prints, lambda: _relating(config, folder, said, segments())
        )
    words = _vocabulary(config, read_model(folder).vocabulary)
    prints, segments = _segments(config, paths, words.objects)
    return PredictionSource(
        folder, _prints(folder, words) | prints, lambda: _looking(config, folder, words, segments()), _note(folder)
    )


def refuse_the_others(nodes: str, balance: float | None, fusion: float | None, novel_odds: float | None) -> None:
    """Raise SpadeError for an option that this kind of model has no use for."""
    if nodes == "diffusion" and balance is not None:
        raise SpadeError(
            f"--balance {balance}: belongs to a model of labels and boxes; leave it out with one that looks at "
            "pictures."
        )
    for option, value in (("--fusion", fusion), ("--novel-odds", novel_odds)):
        if nodes == "layout" and value is not None:
            raise SpadeError(
                f"{option} {value}: belongs to a model that looks at pictures; leave it out with one of labels and "
                "boxes."
            )


def select_model(model: Path | None, run: Run, nodes: Sequence[str] = ("diffusion",)) -> Path:
    """The model to use: the one named, the workspace's newest of these kinds (or that of ``--from``), or the packaged
    one; says which.
    """
    if model is not None:
        no_source(run, "a command with --model")
        return find_model(model, nodes)
    newest = run.workspace.newest("train-relations", run.source, fits=lambda artifact: nodes_of(artifact) in nodes)
    if newest is not None:
        run.report.say(f"model: train-relations/{newest.key} of this workspace")
        return newest.path
    what = "tiny one" if nodes[0] == "diffusion" else "relations of labels and boxes, learned from PSG's annotation"
    run.report.say(f"model: the packaged {what} (no other of its kind was trained in this workspace)")
    return packaged(nodes[0])


def _looking(
    config: PredictConfig, folder: Path, words: Vocabulary, segments: Segments | None = None
) -> tuple[Answer, dict[str, Any]]:
    """A diffusion model, on its own segments or on others'."""
    model = load(folder, config.device, config.dtype, config.fusion, config.novel_odds)
    if segments is None:
        return lambda path, picture: model.predict(picture, words, config.top, config.min_score), model.facts

    def answer(path: Path, picture: Image.Image) -> Prediction:
        return model.relate_segments(picture, segments(path, picture), words, config.top, config.min_score)

    return answer, model.facts


def _relating(
    config: PredictConfig, folder: Path, words: Vocabulary, segments: Segments
) -> tuple[Answer, dict[str, Any]]:
    """A model of labels and boxes."""
    relater = load_relation_predictor(folder, config.device, config.balance)
    return lambda path, picture: relater.predict(
        segments(path, picture), words, config.top, config.min_score
    ), relater.facts


def _segments(
    config: PredictConfig, paths: Sequence[Path], known: Sequence[Label]
) -> tuple[dict[str, str], Callable[[], Segments]]:
    """What the segments depend on, and a function that opens their source."""
    if config.segments is not None:
        given = GivenSegments(config.segments)
        pngs = [png for path in paths if (png := given.png_of(path)) is not None and png.is_file()]
        print_ = canonical_hash([sha256_file(path) for path in (config.segments, *pngs)])
        return {"segments": print_}, lambda: lambda path, picture: given.of(path, picture.size)
    assert config.segmenter is not None
    source = config.segmenter

    def start() -> Segments:
        segmenter = PretrainedSegmenter(source, pick_device(config.device), known)
        return lambda path, picture: segmenter(picture, path.name)

    return {"segmenter": fingerprint(resolve_segmenter(source))}, start


def _prints(folder: Path, words: Vocabulary) -> dict[str, str]:
    return {"model": model_fingerprint(folder), "vocabulary": canonical_hash(words.to_json())}


def _note(folder: Path) -> str:
    if read_model(folder).backbone != "tiny":
        return ""
    return "note: the tiny model knows the embedded world's pictures only; graphs of photographs from it are guesses"


def _vocabulary(config: PredictConfig, trained: Vocabulary) -> Vocabulary:
    """The user's labels where given, the model's training list elsewhere."""
    chosen = trained if config.vocab is None else user_vocabulary(config.vocab, trained)
    if config.predicates is not None:
        read = read_vocabulary(config.predicates, (), section="predicates")
        if not read.predicates:
            raise SpadeError(f"{config.predicates}: no predicate found; write one a line, for example: holding")
        chosen = Vocabulary(chosen.objects, read.predicates)
    return chosen
