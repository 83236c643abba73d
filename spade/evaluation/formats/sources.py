"""Opens whatever a system handed over: which of the known formats it is, its name and first bytes tell."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec

from spade.core.errors import SpadeError
from spade.core.file_kinds import kind_of
from spade.data.psg import Dataset
from spade.evaluation.formats.exchange import Exchange
from spade.evaluation.formats.importers import Files, Sgbench, Submission
from spade.evaluation.scoring.predicted_image import Predictions

OWN = "predictions.jsonl"
TRIPLETS = "triplets.json"  # of sgbench
RELATIONS = "relation.json"  # of a submission


def open_predictions(path: Path, dataset: Dataset, predcls: bool = False, lenient: bool = False) -> Predictions:
    """An exchange file (or a folder that holds one), an sgbench file, or a competition submission (folder or zip).

    Raises SpadeError for anything else, and for whatever is wrong in it; ``lenient`` passes over what is wrong with
    images.
    """
    if path.is_dir():
        if (path / OWN).is_file():
            return Exchange(path / OWN, dataset, predcls, lenient)
        if (path / "relation.json").is_file():
            return Submission(path, dataset, predcls, lenient)
        inner = sorted(found.parent for name in (OWN, RELATIONS) for found in path.glob(f"*/{name}"))
        remedy = f"name the folder {inner[0]}" if inner else "name a prediction file (docs/formats.md)"
        raise SpadeError(f"{path}: holds neither {OWN} nor {RELATIONS}; {remedy}.")
    if not path.is_file():
        raise SpadeError(f"{path}: no such prediction file; write one in the exchange format (docs/formats.md).")
    if path.name == RELATIONS:
        return Submission(path, dataset, predcls, lenient)
    kind = kind_of(path)
    if zipfile.is_zipfile(path) or (kind is not None and kind[0] == "a zip archive"):
        files = Files(path)
        if TRIPLETS in files:
            return Sgbench(path, dataset, predcls, lenient)
        if RELATIONS in files:
            return Submission(path, dataset, predcls, lenient)
        raise SpadeError(f"{path}: {_not_there(files)}.")
    if kind is not None:
        raise SpadeError(f"{path}: is {kind[0]}, and no prediction file; name one (docs/formats.md).")
    return (Sgbench if _is_sgbench(path) else Exchange)(path, dataset, predcls, lenient)


def _not_there(files: Files) -> str:
    """What a zip lacks, and where it has it, if it has it further down."""
    for name in files.names:
        folder, _, last = name.rpartition("/")
        if last in (TRIPLETS, RELATIONS) and not folder.startswith("__MACOSX"):
            return f"has {last} in the folder {folder}, not at the top; pack what is in {folder}, not the folder"
        if last == OWN:
            return f"holds {name}, which is read where it lies; unpack it, and name that file"
    return f"holds neither sgbench's {TRIPLETS} nor a submission's {RELATIONS} (docs/formats.md)"


def _is_sgbench(path: Path) -> bool:
    """Whether a json file is sgbench's (boxes, no masks): an object with version and images."""
    try:
        with open(path, "rb") as file:
            start = file.read(1 << 12)
            if (b'"images"' not in start and b'"version"' not in start) or b'"format"' in start:
                return False
            keys = msgspec.json.decode(start + file.read(), type=dict[str, msgspec.Raw])
        return "images" in keys and "predictions" not in keys
    except (OSError, ValueError, RecursionError):
        return False
