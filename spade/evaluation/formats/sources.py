"""Opens whatever a system handed over: which of the known formats it is, its name and first bytes tell."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec

from spade.core.errors import SpadeError
from spade.data.psg import Dataset
from spade.evaluation.formats.exchange import Exchange
from spade.evaluation.formats.importers import Files, Sgbench, Submission
from spade.evaluation.scoring.predicted_image import Predictions

OWN = "predictions.jsonl"


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
        raise SpadeError(f"{path}: holds neither {OWN} nor relation.json; name a prediction file (docs/formats.md).")
    if not path.is_file():
        raise SpadeError(f"{path}: no such prediction file; write one in the exchange format (docs/formats.md).")
    if path.name == "relation.json":
        return Submission(path, dataset, predcls, lenient)
    if zipfile.is_zipfile(path):
        files = Files(path)
        if "triplets.json" in files:
            return Sgbench(path, dataset, predcls, lenient)
        if "relation.json" in files:
            return Submission(path, dataset, predcls, lenient)
        raise SpadeError(
            f"{path}: holds neither sgbench's triplets.json nor a submission's relation.json (docs/formats.md)."
        )
    return (Sgbench if _is_sgbench(path) else Exchange)(path, dataset, predcls, lenient)


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
