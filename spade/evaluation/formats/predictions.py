"""Predictions as evaluation sees them, whatever file or model they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from spade.core.errors import SpadeError
from spade.data.psg import Dataset, Record
from spade.evaluation.scoring.predicted_image import ImageError

MOST_SEGMENTS = 2000  # of an image: every mask is compared with every other
SEE = "see docs/formats.md"

UNREADABLE = (
    msgspec.DecodeError,
    UnicodeDecodeError,
    RecursionError,
)  # what a decoder raises for bytes that are not json

LARGEST = 1e6  # of a score or a coordinate: products of three stay far from overflow


@contextmanager
def told_of(path: Path, record: Record, png_field: str = "") -> Iterator[None]:
    """Turn whatever is wrong with an image into one SpadeError that names file, image and field."""
    here = f"{path}: image {record.image_id}"
    try:
        yield
    except (msgspec.ValidationError, UnicodeError) as error:
        raise SpadeError(f"{here}: {str(error).replace('$.', '')}; {SEE}.") from None
    except ImageError as error:
        raise SpadeError(f"{here}: {error}; {SEE}.") from None
    except SpadeError as error:  # from a png or a member of an archive
        raise SpadeError(f"{here}: {png_field}{error}") from None


def checked(values: Sequence[int], limit: int, what: str, of: str, first: int = 0) -> np.ndarray:
    """Indices from 0, as an array, of numbers that a file counts from ``first``.

    Raises ImageError for one out of range; ``what`` names the field with {} for its place.
    """
    for place, value in enumerate(values):
        if not first <= value < first + limit:
            counted = " counted from 1" if first else ""
            raise ImageError(
                f"{what.format(place)} {shortened(value)} is out of range, there are {limit} {of}{counted}"
            )
    return np.asarray(values, np.int64).reshape(-1) - first


def checked_count(count: int, field: str) -> int:
    """The number of an image's segments. Raises ImageError for more than can be compared with each other."""
    if count > MOST_SEGMENTS:
        raise ImageError(f"{field}: has {count} entries; at most {MOST_SEGMENTS} segments an image can be evaluated")
    return count


def checked_boxes(boxes: Sequence[Sequence[float] | None], field: str) -> np.ndarray | None:
    """Boxes (N, 4) xyxy where all segments have one, None where none has. Raises ImageError for anything between, or a
    bad box.
    """
    there = [box for box in boxes if box is not None]
    if not there:
        return None
    if len(there) < len(boxes):
        raise ImageError(
            f"{field.format(boxes.index(None))}: is missing, other segments have one; give all segments a box, or none"
        )
    for place, box in enumerate(there):
        if len(box) < 4 or not all(abs(v) < LARGEST for v in box[:4]) or box[2] < box[0] or box[3] < box[1]:
            raise ImageError(f"{field.format(place)}: {list(box)[:6]} is no box x1, y1, x2, y2")
    return np.array([box[:4] for box in there], np.float64)


def shortened(value: object) -> str:
    """A value for a message, not longer than a line has room for."""
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def as_annotated(record: Record, categories: np.ndarray) -> None:
    """Raise ImageError unless the segments are the annotated ones, in their order, as predicate classification has
    them.
    """
    if len(categories) != len(record.segments):
        raise ImageError(
            f"segments_info: has {len(categories)} segments, the annotation "
            f"{len(record.segments)}; predcls takes them as given"
        )
    for index, (category, segment) in enumerate(zip(categories, record.segments, strict=True)):
        if category != segment.category:
            raise ImageError(
                f"segments_info[{index}].category_id {category}: the annotation says "
                f"{segment.category}; predcls takes segments as given"
            )


def known_images(path: Path, dataset: Dataset, names: Sequence[str], lenient: bool) -> list[str]:
    """Sentences about images that are not in the data set. Raises SpadeError for one unless ``lenient``, and if none
    is.
    """
    known = {record.image_id for record in dataset.records}
    strange = [name for name in names if name not in known]
    if names and len(strange) == len(names):
        raise SpadeError(f"{path}: none of its images is in {dataset.source}; name the data set that it was made for.")
    problems = [f"{path}: image {name} is not in {dataset.source}" for name in strange]
    if problems and not lenient:
        raise SpadeError(f"{problems[0]}; name the data set that it was made for, or skip such images with `lenient`.")
    return problems


def same_names(path: Path, field: str, given: Any, expected: Sequence[str], dataset: Dataset) -> None:
    """Raise SpadeError where a list of names in a header is not the data set's."""
    if given is None or given == list(expected):
        return
    if not isinstance(given, list) or len(given) != len(expected):
        count = len(given) if isinstance(given, list) else "no"
        raise SpadeError(
            f"{path}: made for another data set: {field} has {count} names, {dataset.source} {len(expected)}."
        )
    place = next(i for i, (a, b) in enumerate(zip(given, expected, strict=True)) if a != b)
    raise SpadeError(
        f'{path}: made for another data set: {field}[{place}] is "{given[place]}", in {dataset.source} '
        f'"{expected[place]}".'
    )
