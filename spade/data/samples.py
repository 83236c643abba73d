"""A record's image and annotated map, checked; and which records can be used at all, before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from spade.core.errors import SpadeError, given, reason_of
from spade.core.progress import Reporter
from spade.data.checks import check_map, check_pixels, turned
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.structures.panoptic_png import Planes, planes_to_ids, read_planes
from spade.structures.regions import BoxRegions, MapRegions, Regions
from spade.structures.run_lengths import CodedMask, paint


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
    """A record's image. Raises SpadeError if it cannot be read or has another size than annotated."""
    path = dataset.image_path(record)
    if not path.exists():
        raise SpadeError(
            f"{path}: no such image; where the images lie elsewhere, name their folder with {given('images')}."
        )
    image = read_image(path)
    check_size(path, image, record)
    return image


def check_size(path: Path, image: Image.Image, record: Record) -> None:
    """Raise SpadeError where an image has another size than its record says."""
    if image.size != (record.width, record.height):
        stated = record.width, record.height
        raise SpadeError(
            f"{path}: is {image.width} x {image.height}, the annotation says {record.width} x {record.height}"
            f"{turned(image.size, stated)}; "
            "give the image that was annotated."
        )


def annotated_ids(dataset: Dataset, record: Record) -> np.ndarray:
    """The annotated panoptic ids (H, W) of a record. Raises SpadeError if it cannot be read, has another size, or is
    another image's (spade.data.checks.check_map).
    """
    planes = annotated_planes(dataset, record)
    return planes if isinstance(planes, np.ndarray) else planes_to_ids(planes)


def annotated_planes(dataset: Dataset, record: Record) -> Planes | np.ndarray:
    """The annotated panoptic ids as their png's three planes, or the map of ids (H, W) itself where masks stand in the
    annotation file. Raises SpadeError as ``annotated_ids`` does.
    """
    if not record.panoptic_name:
        return _painted(dataset, record)
    path = dataset.panoptic_path(record)
    planes = read_planes(path, size=(record.width, record.height))
    check_map(record, planes, path)
    return planes


def annotated_regions(dataset: Dataset, record: Record) -> Regions:
    """The regions of a record's segments, in their order: its map, or its boxes.

    Raises SpadeError as ``annotated_ids`` does.
    """
    if not dataset.has_masks:
        return BoxRegions.of([segment.bbox for segment in record.segments], (record.width, record.height))
    return MapRegions.of_ids(annotated_ids(dataset, record), [segment.id for segment in record.segments])


def _painted(dataset: Dataset, record: Record) -> np.ndarray:
    """The map (H, W) uint32 of masks that stand in the annotation file; where they overlap, the smaller lies on top.
    The n-th has id n, counted from 1, also where training does not know its segment: such pixels are void, as in a png.
    """
    where = dataset.opened_as
    try:
        masks = [CodedMask(msgspec.json.decode(mask)) for mask in record.masks]
        ids = paint(masks, (record.width, record.height)).astype(np.uint32)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SpadeError(
            f"{where}: image {record.image_id}: {reason_of(error)}; give its masks as COCO has them."
        ) from None
    there = set(np.unique(ids).tolist())
    missing = sum(segment.id not in there for segment in record.segments)
    check_pixels(missing, len(record.segments), where, f"image {record.image_id}")
    return ids
