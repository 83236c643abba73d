"""Which pictures of a data set can be used at all, found out before any work is done on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from spade.data.codecs import read_panoptic
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.errors import SpadeError
from spade.progress import Reporter


def check_pictures(dataset: Dataset, records: Sequence[Record], report: Reporter) -> tuple[list[Record], list[str]]:
    """Records whose picture and panoptic png can be read and have the annotated size, and what is wrong with the others."""
    usable, problems = [], []
    for record in report.track(records, "check"):
        try:
            sized_picture(dataset, record)
            true_map(dataset, record)
            usable.append(record)
        except SpadeError as error:
            problems.append(str(error))
    return usable, problems


def sized_picture(dataset: Dataset, record: Record) -> Image.Image:
    """A record's picture. Raises SpadeError if it cannot be read or has another size than annotated."""
    path = dataset.image_path(record)
    picture = read_image(path)
    if picture.size != (record.width, record.height):
        raise SpadeError(f"{path}: is {_size(picture.size)}, the annotation says {record.width} x {record.height}.")
    return picture


def true_map(dataset: Dataset, record: Record) -> np.ndarray:
    """The annotated panoptic ids (H, W) of a record. Raises SpadeError if it cannot be read or has another size."""
    path = dataset.panoptic_path(record)
    ids = read_panoptic(path)
    if ids.shape != (record.height, record.width):
        raise SpadeError(f"{path}: is {_size(ids.shape[::-1])}, the annotation says {record.width} x {record.height}.")
    return ids


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
