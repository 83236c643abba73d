"""Step 4: pictures to scene graphs; of a data set, to the exchange format too."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spade.core.device import pick_device, pick_dtype
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, read_json, sha256_file, write_bytes, write_json
from spade.core.workspace import ArtifactWriter, keyed
from spade.data.images import EXTENSIONS, read_image
from spade.data.psg import Dataset
from spade.data.psg_reader import is_dataset, load_psg
from spade.data.samples import checked_image
from spade.evaluation.formats.exchange_writer import ExchangeWriter
from spade.evaluation.formats.sources import OWN
from spade.export.figure import figure_png, one_line
from spade.steps.common import Run, StepResult, cached_result, finished_result, tell_skipped
from spade.steps.config import PredictConfig
from spade.steps.select_model import PredictionSource, select_source
from spade.structures.label_index import OR
from spade.structures.panoptic_png import write_panoptic

STEP, VERSION = "predict", 3


def run(config: PredictConfig, run: Run) -> StepResult:
    """Predict scene graphs of pictures with the newest trained model, or the packaged one."""
    device = pick_device(config.device)
    config = replace(config, device=str(device), dtype=pick_dtype(config.dtype, device))
    paths = expand(config.images)[: config.limit]
    dataset = _whole_dataset(config)
    way = select_source(config, dataset, paths, run)
    prints = way.prints | {"images": canonical_hash([[path.name, sha256_file(path)] for path in paths])}
    prints |= {"exchange": "1"} if dataset is not None else {}
    draft = run.workspace.draft(STEP, VERSION, keyed(config), fingerprints=prints, force=run.force)
    if draft.cached:
        done = cached_result(draft, config.strict)
    else:
        try:
            result = _predict(config, draft, way, paths, dataset, run) | {"model": str(way.model)}
            result |= {"predictions": str(draft.file(OWN).resolve())} if dataset is not None else {}
            done = finished_result(draft.finish(result))
        finally:
            draft.release()
    if config.output is not None:
        _copy(draft.path, config.output)
    for label, taken in done.result["labels"].items():
        run.report.say(f'label "{one_line(label, 80)}": not known by name, stands for {one_line(taken, 200)}')
    if way.note:
        run.report.say(way.note)
    return done


def _predict(
    config: PredictConfig,
    draft: ArtifactWriter,
    way: PredictionSource,
    paths: Sequence[Path],
    dataset: Dataset | None,
    run: Run,
) -> dict[str, Any]:
    """Write each picture's files, unless a killed run wrote them.

    Says which graphs there are, what was wrong with other pictures, and what labels stand for that the model does not
    know by name.
    """
    by_path = {} if dataset is None else {dataset.image_path(record): record for record in dataset.records}
    answer, facts = way.start()
    exchange = None if dataset is None else ExchangeWriter(draft, dataset, facts)
    pictures: list[str] = []
    problems: list[str] = []
    labels: dict[str, list[str]] = {}
    for path, name in zip(run.report.track(paths, "predict"), _names(paths), strict=True):
        try:
            picture = read_image(path) if dataset is None else checked_image(dataset, by_path[path])
            done = not run.force and _finished(draft, name, exchange)
            prediction = None if done else answer(path, picture)
        except SpadeError as error:
            problems.append(str(error))
            continue
        if not pictures:
            draft.begin()
        pictures.append(name)
        if prediction is None:
            written = read_json(draft.file(f"{name}.json"), "scene graph", "run it again with --force.")
            _tell(labels, written["model"])
            continue
        graph = replace(prediction.graph, file_name=path.name)
        _tell(labels, graph.model)
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
    return {
        "graphs": [f"{name}.json" for name in pictures],
        "skipped": problems,
        "labels": {label: OR.join(taken) for label, taken in labels.items()},
    }


def _tell(labels: dict[str, list[str]], model: dict[str, Any]) -> None:
    """Add what a picture's labels stand for, each answer once."""
    for label, taken in model.get("labels", {}).items():
        own = labels.setdefault(label, [])
        own += [answer for answer in taken.split(OR) if answer not in own]


def _finished(draft: ArtifactWriter, name: str, exchange: ExchangeWriter | None) -> bool:
    """Whether a killed run wrote this picture's files."""
    return draft.file(f"{name}.json").is_file() and (exchange is None or exchange.has(name))


def expand(names: Sequence[str]) -> list[Path]:
    """Files, folders, globs and data sets to picture files. Raises SpadeError when a name leads to none."""
    if not names:
        raise SpadeError("no picture named; for example: spade predict photo.jpg")
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            pictures = _dataset_pictures(path) or sorted(
                p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()
            )
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
    own_names = (
        config.vocab is None and config.predicates is None and config.segments is None and config.segmenter is None
    )
    if len(config.images) != 1 or not own_names:
        return None
    folder = Path(config.images[0])
    return load_psg(folder) if folder.is_dir() and _dataset_pictures(folder) else None


def _dataset_pictures(folder: Path) -> list[Path]:
    """The test pictures of a PSG data set; nothing where the folder is none."""
    if not is_dataset(folder):
        return []
    dataset = load_psg(folder)
    return [dataset.image_path(record) for record in dataset.split("test") or dataset.split("all")]


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
