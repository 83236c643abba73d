"""Which pictures of a data set can be used at all, found out before any work is done on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.progress import Reporter
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.structures.panoptic_png import Planes, planes_to_ids, read_planes


def readable(
    records: Sequence[Record], read: Callable[[Record], object], report: Reporter, label: str
) -> tuple[list[Record], list[str]]:
    """Records that ``read`` takes without a SpadeError, and what it says of the others."""
    usable, problems = [], []
    for record in report.track(records, label):
        try:
            read(record)
            usable.append(record)
        except SpadeError as error:
            problems.append(str(error))
    return usable, problems


def checked_image(dataset: Dataset, record: Record) -> Image.Image:
    """A record's picture. Raises SpadeError if it cannot be read or has another size than annotated."""
    path = dataset.image_path(record)
    picture = read_image(path)
    if picture.size != (record.width, record.height):
        raise SpadeError(
            f"{path}: is {picture.width} x {picture.height}, the annotation says {record.width} x {record.height}."
        )
    return picture


def annotated_ids(dataset: Dataset, record: Record) -> np.ndarray:
    """The annotated panoptic ids (H, W) of a record. Raises SpadeError if it cannot be read or has another size."""
    return planes_to_ids(annotated_planes(dataset, record))


def annotated_planes(dataset: Dataset, record: Record) -> Planes:
    """The same as the png's three planes."""
    path = dataset.panoptic_path(record)
    return read_planes(path, size=(record.width, record.height))


def annotated_numbers(dataset: Dataset, record: Record) -> np.ndarray:
    """The annotated map as numbers (H, W): n where the record's n-th segment is, counted from 1, 0 elsewhere. Raises as
    above.
    """
    ids = annotated_ids(dataset, record)
    numbers = np.zeros(ids.shape, np.int64)
    for number, segment in enumerate(record.segments, 1):
        numbers[ids == segment.id] = number
    return numbers
