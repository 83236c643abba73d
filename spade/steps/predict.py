"""Step 4: pictures to scene graphs; of a data set, to the exchange format too."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spade.config import EvalConfig, PredictConfig
from spade.data.codecs import write_panoptic
from spade.data.images import EXTENSIONS, read_image
from spade.data.psg import Dataset, Record, is_dataset, load_psg
from spade.device import pick_device, pick_dtype
from spade.diffusion.backbone import embedded_model
from spade.errors import SpadeError
from spade.evaluation.sources import OWN
from spade.export.figure import figure_png
from spade.files import canonical_hash, sha256_file, write_bytes, write_json
from spade.loading import describe, find_model, load, model_fingerprint
from spade.model import Model
from spade.steps.common import Run, StepResult, already_there, just_made, no_source, tell_skipped
from spade.steps.exchange import ExchangeWriter
from spade.steps.pictures import sized_picture, true_numbers
from spade.vocabulary import Vocabulary, read_vocabulary, user_vocabulary
from spade.workspace import Artifact, Draft, keyed

STEP, VERSION = "predict", 2


def run(config: PredictConfig, run: Run) -> StepResult:
    """Predict scene graphs of pictures with the newest trained model, or the packaged one."""
    device = pick_device(config.device)
    config = replace(config, device=str(device), dtype=pick_dtype(config.dtype, device))
    paths = expand(config.images)[: config.limit]
    folder = choose_model(config.model, run)
    description = describe(folder)
    dataset = _whole_dataset(config)
    vocabulary = _vocabulary(config, description.vocabulary if dataset is None else dataset.vocabulary)
    prints = {
        "model": model_fingerprint(folder),
        "images": canonical_hash([[path.name, sha256_file(path)] for path in paths]),
        "vocabulary": canonical_hash(vocabulary.to_json()),
    }
    prints |= {"exchange": "1"} if dataset is not None else {}
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        done = already_there(draft, config.strict)
    else:
        try:
            pictures, problems = _predict(
                config, draft, load(folder, str(device), config.dtype, config.fusion), paths, vocabulary, dataset, run
            )
            result = {"graphs": [f"{name}.json" for name in pictures], "skipped": problems, "model": str(folder)}
            result |= {"predictions": str(draft.file(OWN).resolve())} if dataset is not None else {}
            done = just_made(draft.finish(result))
        finally:
            draft.release()
    if config.output is not None:
        _copy(draft.path, config.output)
    if description.backbone == "tiny":
        run.report.say("note: the tiny model knows the embedded world's pictures only; graphs of photographs from it are guesses")
    return done


def _predict(
    config: PredictConfig, draft: Draft, model: Model, paths: Sequence[Path], vocabulary: Vocabulary, dataset: Dataset | None, run: Run
) -> tuple[list[str], list[str]]:
    """Write each picture's files, unless a killed run wrote them; the names of the pictures, and what was wrong with others."""
    by_path = {} if dataset is None else {dataset.image_path(record): record for record in dataset.records}
    exchange = None if dataset is None else ExchangeWriter(draft, dataset, model.facts)
    pictures: list[str] = []
    problems: list[str] = []
    for path, name in zip(run.report.track(paths, "predict"), _names(paths), strict=True):
        try:
            picture = read_image(path) if dataset is None else sized_picture(dataset, by_path[path])
        except SpadeError as error:
            problems.append(str(error))
            continue
        if not pictures:
            draft.begin()
        pictures.append(name)
        if draft.file(f"{name}.json").is_file() and (exchange is None or exchange.has(name)):
            continue
        prediction = model.predict(picture, vocabulary, config.top, config.min_score)
        graph = replace(prediction.graph, file_name=path.name)
        write_panoptic(draft.file(f"{name}.png"), graph.panoptic)
        write_bytes(draft.file(f"{name}.figure.png"), figure_png(picture, graph))
        if exchange is not None:
            exchange.add(name, by_path[path], prediction, f"{name}.png")
        write_json(draft.file(f"{name}.json"), graph.to_json(f"{name}.png"))
    if not pictures:
        raise SpadeError(problems[0])
    tell_skipped(problems, "pictures", run.report, config.strict)
    if exchange is not None:
        exchange.finish()
    return pictures, problems


def predict_dataset(config: EvalConfig, dataset: Dataset, records: list[Record], run: Run) -> Artifact:
    """The current model's predictions on these records as an exchange file, without graphs and figures; made once for all protocols."""
    device = pick_device(config.device)
    folder = choose_model(config.model, run)
    given = config.mode == "predcls"
    prints = {"data": dataset.fingerprint(records, panoptic=given), "model": model_fingerprint(folder)}
    keys: dict[str, Any] = {
        "mode": config.mode,
        "split": config.split,
        "limit": config.limit,
        "device": str(device),
        "dtype": pick_dtype(config.dtype, device),
        "fusion": config.fusion,
    }
    draft = run.workspace.draft("eval-predictions", VERSION, keys, fingerprints=prints, force=run.force)
    if draft.cached:
        return Artifact(draft.step, draft.key, draft.path, draft.manifest)
    model = load(folder, str(device), config.dtype, config.fusion)
    problems: list[str] = []
    draft.begin()
    try:
        exchange = ExchangeWriter(draft, dataset, model.facts)
        for number, record in enumerate(run.report.track(records, "eval: predict")):
            name = f"{number:06d}"
            if exchange.has(name):
                continue
            try:
                picture = sized_picture(dataset, record)
                numbers = true_numbers(dataset, record) if given else None
            except SpadeError as error:
                problems.append(str(error))
                continue
            if numbers is not None:
                categories = [segment.category for segment in record.segments]
                exchange.add(name, record, model.relate(model.look_given(picture, numbers, categories, dataset.vocabulary)), None)
                continue
            prediction, png = model.predict(picture, dataset.vocabulary), f"panoptic/{name}.png"
            write_panoptic(draft.file(png), prediction.graph.panoptic)
            exchange.add(name, record, prediction, png)
        if exchange.empty:
            draft.abandon()
            raise SpadeError(problems[0])
        tell_skipped(problems, "pictures", run.report, config.strict)
        exchange.finish()
        return draft.finish({"model": str(folder), "skipped_pictures": problems})
    finally:
        draft.release()


def choose_model(model: Path | None, run: Run) -> Path:
    """The model to use: the one named, the workspace's newest (or the one of ``--from``), or the packaged one; says which."""
    if model is not None:
        no_source(run, "a command with --model")
        return find_model(model)
    newest = run.workspace.newest("train-relations", run.source)
    if newest is not None:
        run.report.say(f"model: train-relations/{newest.key} of this workspace")
        return newest.path
    run.report.say("model: the packaged tiny one (nothing trained in this workspace)")
    return embedded_model()


def expand(names: Sequence[str]) -> list[Path]:
    """Files, folders, globs and data sets to picture files. Raises SpadeError when a name leads to none."""
    if not names:
        raise SpadeError("no picture named; for example: spade predict photo.jpg")
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            pictures = _dataset_pictures(path) or sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())
        elif path.is_file():
            pictures = [path]
        else:
            pictures = sorted(Path(p) for p in glob.glob(name, recursive=True) if Path(p).is_file())
        if not pictures:
            raise SpadeError(f"{name}: no picture there; name a picture file, a folder of pictures or a data set.")
        found += pictures
    return list(dict.fromkeys(found))


def _whole_dataset(config: PredictConfig) -> Dataset | None:
    """The data set, where just one was named and its own labels are wanted: then the exchange format can be written."""
    if len(config.images) != 1 or config.vocab is not None or config.predicates is not None:
        return None
    folder = Path(config.images[0])
    return load_psg(folder) if folder.is_dir() and _dataset_pictures(folder) else None


def _dataset_pictures(folder: Path) -> list[Path]:
    """The test pictures of a PSG data set; nothing where the folder is none."""
    if not is_dataset(folder):
        return []
    dataset = load_psg(folder)
    return [dataset.image_path(record) for record in dataset.split("test") or dataset.split("all")]


def _vocabulary(config: PredictConfig, trained: Vocabulary) -> Vocabulary:
    """The user's labels where given, the model's training list elsewhere."""
    chosen = trained if config.vocab is None else user_vocabulary(config.vocab, trained)
    if config.predicates is not None:
        read = read_vocabulary(config.predicates, (), section="predicates")
        if not read.predicates:
            raise SpadeError(f"{config.predicates}: no predicate found; write one a line, for example: holding")
        chosen = Vocabulary(chosen.objects, read.predicates)
    return chosen


def _names(paths: Sequence[Path]) -> list[str]:
    """Output names: the pictures' stems, numbered where one of their files would meet another's."""
    used = {"manifest.json"}
    names = []
    for path in paths:
        name, number = path.stem, 1
        while used & (files := {f"{name}{ending}".casefold() for ending in (".json", ".png", ".figure.png")}):
            number += 1
            name = f"{path.stem}-{number}"
        used |= files
        names.append(name)
    return names


def _copy(source: Path, target: Path) -> None:
    """Copy the payload to where the user wants it."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if path.is_file() and path.name not in ("manifest.json", ".lock"):
                shutil.copy2(path, target / path.name)
    except OSError as error:
        raise SpadeError(f"{target}: cannot be written ({error.strerror}); choose another --output.") from None
