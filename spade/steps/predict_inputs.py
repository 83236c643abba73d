"""From what is named on the command line of ``spade predict`` to image files, or to a data set's records."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.errors import SpadeError
from spade.core.paths import user_path
from spade.data.image_files import FoundImages, find_images
from spade.steps.common import Run, open_dataset
from spade.steps.config import PredictConfig

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record


def expand(names: Sequence[str], workspace: Path) -> FoundImages:
    """Files, folders, globs and data sets to image files. Raises SpadeError when a name leads to none."""
    if not names:
        raise SpadeError("no image named; for example: spade predict photo.jpg")
    found = FoundImages()
    for name in names:
        try:
            _expand_one(name, found, workspace, alone=len(names) == 1)
        except SpadeError as error:
            if len(names) == 1:
                raise
            found.problems.append(str(error))
    if not found.paths:
        raise SpadeError(found.problems[0] if found.problems else f"{names[0]}: no image there.")
    found.paths = list(dict.fromkeys(found.paths))
    return found


def _expand_one(name: str, found: FoundImages, workspace: Path, alone: bool) -> None:
    if user_path(name).is_dir() and (images := _dataset_images(user_path(name))):
        found.paths += images
    else:
        find_images(name, found, workspace, alone)


def lies_in_dataset(path: Path) -> bool:
    """Whether an image lies in the folder of a data set, or up to two folders below it."""
    return any(_is_dataset(folder) for folder in list(path.absolute().parents)[:3])


@cache
def _is_dataset(folder: Path) -> bool:
    from spade.data.readers import is_dataset

    return is_dataset(folder)


def whole_dataset(config: PredictConfig, run: Run) -> Dataset | None:
    """The data set, where just one was named and its own labels are wanted: then the exchange format can be written.
    What was left out of it is said.
    """
    own_names = config.vocab is None and config.predicates is None
    if len(config.images) != 1 or not own_names or config.segments is not None or config.segmenter is not None:
        return None
    folder = user_path(config.images[0])
    if not folder.is_dir() or not _is_dataset(folder):
        return None
    dataset = open_dataset(folder, None, run.report, config.strict)
    return dataset if dataset.records else None


def _dataset_images(folder: Path) -> list[Path]:
    """The test images of a data set; nothing where the folder is none."""
    from spade.data.readers import load_dataset

    if not _is_dataset(folder):
        return []
    dataset = load_dataset(folder)
    return [dataset.image_path(record) for record in test_records(dataset)]


def test_records(dataset: Dataset) -> list[Record]:
    """A data set's test records; all where it has none."""
    return dataset.split("test") or dataset.split("all")
