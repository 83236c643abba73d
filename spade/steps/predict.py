"""Step 4: pictures to scene graphs."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spade.config import PredictConfig
from spade.data.codecs import write_panoptic
from spade.data.images import EXTENSIONS, read_image
from spade.data.psg import FILE_NAMES, load_psg
from spade.diffusion.backbone import embedded_model
from spade.errors import SpadeError
from spade.export.figure import figure_png
from spade.files import canonical_hash, sha256_file, write_bytes, write_json
from spade.model import describe, find_model, load, model_fingerprint, pick_device
from spade.steps.common import Run, StepResult, already_there, just_made, no_source, tell_skipped
from spade.vocabulary import Vocabulary, read_vocabulary, user_vocabulary
from spade.workspace import keyed

STEP, VERSION = "predict", 1


def run(config: PredictConfig, run: Run) -> StepResult:
    """Predict scene graphs of pictures with the newest trained model, or the packaged one."""
    device = pick_device(config.device)
    config = replace(config, device=str(device))
    paths = expand(config.images)[: config.limit]
    folder = choose_model(config.model, run)
    description = describe(folder)
    vocabulary = _vocabulary(config, description.vocabulary)
    prints = {
        "model": model_fingerprint(folder),
        "images": canonical_hash([[path.name, sha256_file(path)] for path in paths]),
        "vocabulary": canonical_hash(vocabulary.to_json()),
    }
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        done = already_there(draft, config.strict)
    else:
        model = load(folder, str(device), config.dtype)
        pictures, problems = [], []
        started = False
        try:
            for path, name in zip(run.report.track(paths, "predict"), _names(paths), strict=True):
                try:
                    picture = read_image(path)
                except SpadeError as error:
                    problems.append(str(error))
                    continue
                if not started:
                    draft.begin()
                    started = True
                pictures.append(name)
                if draft.file(f"{name}.json").is_file():
                    continue
                graph = replace(model(picture, vocabulary, config.top, config.min_score), file_name=path.name)
                write_panoptic(draft.file(f"{name}.png"), graph.panoptic)
                write_bytes(draft.file(f"{name}.figure.png"), figure_png(picture, graph))
                write_json(draft.file(f"{name}.json"), graph.to_json(f"{name}.png"))
            if not pictures:
                raise SpadeError(problems[0])
            tell_skipped(problems, "pictures", run.report, config.strict)
            result = {"graphs": [f"{name}.json" for name in pictures], "skipped": problems, "model": str(folder)}
            done = just_made(draft.finish(result))
        finally:
            draft.release()
    if config.output is not None:
        _copy(draft.path, config.output)
    if description.backbone == "tiny":
        run.report.say("note: the tiny model knows the embedded world's pictures only; graphs of photographs from it are guesses")
    return done


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


def _dataset_pictures(folder: Path) -> list[Path]:
    """The test pictures of a PSG data set; nothing where the folder is none."""
    if not any((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in FILE_NAMES):
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
