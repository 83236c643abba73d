"""The two places where annotation is checked: a record, and its map. Every reader of annotation goes through both.

What contradicts itself is converted where it is certain what was meant, and that is said; else the record is left out
and named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from spade.core.errors import SpadeError
from spade.data.psg import Record, SegmentRecord
from spade.structures.panoptic_png import Planes, planes_to_ids

OUTSIDE = 2.0  # pixels by which a box may leave its image: annotators round, and some count the last pixel twice
MODES = {0: "x1, y1, x2, y2", 1: "x, y, width, height"}
# What stands in for a field that is not there.
NOT_THERE = {
    "relations": "relations are missing, and count as none",
    "image_id": "image_id is missing, and is the file_name",
    "area": "areas are missing; those of the boxes stand for them",
}

Box = tuple[float, float, float, float]


class RecordError(Exception):
    """What is wrong with a record: field, value, and the form that is wanted."""


def checked_record(
    row: Any, things: Sequence[str], stuff: Sequence[str], predicates: Sequence[str], with_map: bool = True
) -> tuple[Record, list[str]]:
    """A row in PSG's form as a record, and what of it was converted; without ``with_map`` there is no panoptic png.
    Raises RecordError.
    """
    if not isinstance(row, Mapping):
        raise RecordError(f"is {type(row).__name__}, not an object")
    width, height = _whole(row, "width"), _whole(row, "height")
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise RecordError(f"size {width} x {height}; give pixels")
    infos, annotations = _list(row, "segments_info"), _list(row, "annotations")
    if len(infos) != len(annotations):
        raise RecordError(
            f"segments_info has {len(infos)} entries and annotations {len(annotations)}; give one of each for a segment"
        )
    notes: list[str] = []
    boxes = _boxes(annotations, (width, height), notes, with_map)
    segments = [
        _segment(number, info, annotation, box, (len(things), len(stuff)), notes)
        for number, (info, annotation, box) in enumerate(zip(infos, annotations, boxes, strict=True))
    ]
    identities = [segment.id for segment in segments]
    if len(set(identities)) < len(identities):
        twice = next(identity for identity in identities if identities.count(identity) > 1)
        raise RecordError(f"segment id {twice} occurs twice")
    relations = _relations(_list(row, "relations"), identities, predicates) if row.get("relations") is not None else []
    names = _text(row, "file_name"), _text(row, "pan_seg_file_name") if with_map else ""
    image_id = names[0] if row.get("image_id") is None else str(row["image_id"])
    coco = image_id if row.get("coco_image_id") is None else str(row["coco_image_id"])
    notes += [NOT_THERE[name] for name in ("relations", "image_id") if row.get(name) is None]
    return Record(image_id, coco, *names, width, height, tuple(segments), tuple(relations)), list(dict.fromkeys(notes))


def _boxes(annotations: Sequence[Any], size: tuple[int, int], notes: list[str], may_be_shares: bool) -> list[Box]:
    """Boxes xyxy in pixels, whatever their mode; those as x, y, width, height are converted, and those in shares of
    the image, which formats other than PSG's never have.
    """
    boxes: list[Box] = []
    converted = set()
    for number, annotation in enumerate(annotations):
        where = f"annotations[{number}]"
        if not isinstance(annotation, Mapping):
            raise RecordError(f"{where} is {type(annotation).__name__}, not an object")
        box = _field(annotation, "bbox", where)
        mode = annotation.get("bbox_mode", 0)
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise RecordError(f"{where}.bbox {str(box)[:60]}; give four numbers: {MODES[0]}")
        mode = int(mode) if isinstance(mode, str) and mode in ("0", "1") else 0 if mode is None else mode
        if isinstance(mode, (bool, list, dict)) or mode not in MODES:
            raise RecordError(f"{where}.bbox_mode {str(mode)[:20]} is unknown; use 0 for {MODES[0]}, 1 for {MODES[1]}")
        x1, y1, x2, y2 = map(float, box)
        if mode == 1:
            x2, y2 = x1 + x2, y1 + y2
            converted.add(f"boxes given as {MODES[1]} (bbox_mode 1) were read as {MODES[0]}")
        boxes.append((x1, y1, x2, y2))
    width, height = size
    if may_be_shares and boxes and min(map(min, boxes)) >= 0 and 0 < max(map(max, boxes)) <= 1 and min(size) > 2:
        boxes = [(x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2 in boxes]
        converted.add("boxes given in shares of the image were read in pixels")
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        if x2 < x1 or y2 < y1:
            where = f"annotations[{number}].bbox {_short(boxes[number])}"
            raise RecordError(f"{where}: x2 or y2 lies before x1 or y1; give {MODES[0]}")
        if x1 < -OUTSIDE or y1 < -OUTSIDE or x2 > width + OUTSIDE or y2 > height + OUTSIDE:
            where = f"annotations[{number}].bbox {_short(boxes[number])}"
            turned = max(x for _, _, x, _ in boxes) <= height and max(y for _, _, _, y in boxes) <= width
            why = "; are width and height exchanged?" if turned else ""
            raise RecordError(f"{where} leaves the image of {width} x {height}{why}")
    notes += sorted(converted)
    return boxes


def _segment(
    number: int,
    info: Any,
    annotation: Mapping[str, Any],
    box: Box,
    lists: tuple[int, int],
    notes: list[str],
) -> SegmentRecord:
    things, count = lists[0], sum(lists)
    where = f"segments_info[{number}]"
    if not isinstance(info, Mapping):
        raise RecordError(f"{where} is {type(info).__name__}, not an object")
    category = _whole(info, "category_id", where)
    if not 0 <= category < count:
        raise RecordError(f"{where}.category_id {category} is out of range; the lists have {count} classes, from 0")
    other = annotation.get("category_id")
    if other is not None and not (is_whole(other) and int(other) == category):
        raise RecordError(
            f"{where} is of category {category} and annotations[{number}] of {str(other)[:20]}; give both lists in "
            "one order"
        )
    identity = _whole(info, "id", where)
    if not 0 < identity < 1 << 24:
        raise RecordError(f"{where}.id {identity} does not fit a panoptic png; ids are 1 to 16777215")
    wide, high = box[2] - box[0], box[3] - box[1]
    if info.get("area") is None:
        notes.append(NOT_THERE["area"])
        area = round(wide * high)
    else:
        area = _whole(info, "area", where)
    if area < 0:
        raise RecordError(f"{where}.area {area}; give pixels")
    if area > (wide + OUTSIDE) * (high + OUTSIDE):  # true of none of PSG's segments
        raise RecordError(
            f"{where}.area {area} is more than its box of {wide:g} x {high:g} holds; give both in pixels, boxes as "
            f"{MODES[0]} in the order of segments_info"
        )
    is_thing, crowd = thing_flag(info.get("isthing")), bool(thing_flag(info.get("iscrowd")))
    if is_thing not in (None, category < things):
        notes.append("isthing of a segment is not what the class lists say, and counts")
    return SegmentRecord(identity, category, category < things if is_thing is None else is_thing, crowd, area, box)


def _relations(rows: Sequence[Any], identities: Sequence[int], predicates: Sequence[str]) -> list[tuple[int, int, int]]:
    relations = []
    for number, row in enumerate(rows):
        where = f"relations[{number}]"
        if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 3:
            raise RecordError(f"{where} {str(row)[:60]}; give [subject, object, predicate] as indices from 0")
        if any(isinstance(value, str) and not is_whole(value) for value in row):
            raise RecordError(f"{where} {str(row)[:60]} has a name; give indices from 0: subject, object, predicate")
        if not all(map(is_whole, row)):
            raise RecordError(f"{where} {str(row)[:60]}; give [subject, object, predicate] as indices from 0")
        subject, target, predicate = (int(value) for value in row)
        if not (0 <= subject < len(identities) and 0 <= target < len(identities)):
            hint = "; these are ids of segments" if {subject, target} <= set(identities) else ""
            raise RecordError(
                f"{where} [{subject}, {target}, {predicate}] is out of range{hint}; give indices into segments_info, "
                "from 0"
            )
        if not 0 <= predicate < len(predicates):
            hint = "; are predicates counted from 1?" if predicate == len(predicates) else ""
            raise RecordError(
                f"{where} [{subject}, {target}, {predicate}] is out of range{hint}; the file lists {len(predicates)} "
                "predicates, from 0"
            )
        relations.append((subject, target, predicate))
    return relations


def numbers_in(row: Any) -> tuple[list[int], list[int]]:
    """The numbers of predicates and of categories of a record as it stands in a file, as far as they can be read."""
    if not isinstance(row, Mapping):
        return [], []
    relations, infos = row.get("relations"), row.get("segments_info")
    predicates = [r[2] for r in relations if isinstance(r, list) and len(r) == 3] if isinstance(relations, list) else []
    categories: list[Any] = []
    if isinstance(infos, list):
        categories = [info.get("category_id") for info in infos if isinstance(info, Mapping)]
    return [int(v) for v in predicates if is_whole(v)], [int(v) for v in categories if is_whole(v)]


def refuse_from_one(source: Any, numbers: Collection[int], count: int, what: str) -> None:
    """Raise SpadeError for a file whose predicates or categories, of which it lists ``count``, are counted from 1:
    none is 0, and the last is ``count``.
    """
    if numbers and min(numbers) == 1 and max(numbers) == count:
        raise SpadeError(
            f"{source}: its {what} are counted from 1 (1 to {count}, of {count}); subtract 1 from each, as they count "
            "from 0."
        )


def check_map(record: Record, planes: Planes, png: Any) -> None:
    """Raise SpadeError for a map, given as its png's planes (H, W), in which most of a record's segments have no pixel.

    A few without one occur in PSG: crowds, and what others cover.
    """
    # A segment's pixels begin somewhere: only where a row's pixels change can a new id stand.
    begins = np.ones(planes[0].shape, bool)
    begins[:, 1:] = False
    for plane in planes:
        begins[:, 1:] |= plane[:, 1:] != plane[:, :-1]
    there = set(planes_to_ids((planes[0][begins], planes[1][begins], planes[2][begins])).tolist())
    missing = sum(segment.id not in there for segment in record.segments)
    check_pixels(missing, len(record.segments), png, f"image {record.image_id}")


def is_another_map(missing: int, count: int) -> bool:
    """Whether a map in which so many of an image's ``count`` segments have no pixel is another image's, or was written
    with other ids: half or more of them have none; one of two may.
    """
    return 2 * missing > count or (2 * missing == count and missing > 1)


def check_pixels(missing: int, count: int, png: Any, image: str) -> None:
    """Raise SpadeError for a map that ``is_another_map``."""
    if is_another_map(missing, count):
        raise SpadeError(
            f"{png}: {missing} of {count} segments of {image} have no pixel in it; write ids as R + 256 G + 65536 B, "
            "those of segments_info."
        )


def turned(size: tuple[int, int], stated: tuple[int, int]) -> str:
    """What to say of an image's size (width, height) that is the stated one turned; nothing of any other."""
    if size == stated or size != stated[::-1]:
        return ""
    return " (turned by its EXIF orientation, as viewers show it? annotate the upright image)"


def thing_flag(value: Any) -> bool | None:
    """Whether a flag says thing: 1, "1", true and "true" do, 0, "0", false and "false" say stuff; None where it says
    neither.
    """
    if isinstance(value, int):
        return bool(value) if value in (0, 1) else None
    text = str(value).strip().lower()
    return True if text in ("1", "true", "1.0") else False if text in ("0", "false", "0.0") else None


def _field(row: Mapping[str, Any], name: str, where: str = "") -> Any:
    if name not in row:
        raise RecordError(f"{where}.{name}".lstrip(".") + " is missing")
    return row[name]


def _list(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = _field(row, name)
    if not isinstance(value, list):
        raise RecordError(f"{name} is {type(value).__name__}, not a list")
    return value


def _whole(row: Mapping[str, Any], name: str, where: str = "") -> int:
    value = _field(row, name, where)
    if not is_whole(value):
        raise RecordError(f"{where}.{name}".lstrip(".") + f" {str(value)[:40]!r}; give a whole number")
    return int(value)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = _field(row, name)
    if not isinstance(value, str) or not value:
        raise RecordError(f"{name} {str(value)[:40]!r}; give a path below the image folder")
    return value


def is_whole(value: Any) -> bool:
    """Whether a value of json is a whole number: 7, 7.0 and "7" are; 7.5, true and null are not."""
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or (
        isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII) is not None
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e9


def _short(box: Box) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
