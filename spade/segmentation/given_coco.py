"""COCO files of segments: of panoptic pngs, or with a mask an annotation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError, SpadeWarning, reason_of
from spade.core.files import inside, read_json
from spade.core.paths import base_name
from spade.core.text import one_line
from spade.data.categories import category_labels
from spade.data.checks import is_whole, thing_flag
from spade.structures.run_lengths import CodedMask
from spade.structures.vocabulary import Label

KINDS = "a scene graph (from spade predict), a PSG file, a record of one, or a COCO file of panoptic pngs or masks"
Kind = tuple[int, bool | None]  # a category's number, and what the segment says itself of thing or stuff
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Coded:
    """An image's segments as COCO's annotations have them: what they are, and masks."""

    kinds: list[Kind]
    masks: list[CodedMask]


@dataclass(frozen=True)
class Painted:
    """An image's segments in a panoptic png: (id, what it is) each."""

    png: Path
    rows: Sequence[tuple[int, Kind]]


@dataclass(frozen=True)
class CocoSegments:
    """What a file holds: labels, what it says of itself, segments and (width, height) by the images' names in it, and
    a sentence for each annotation that cannot be used; its whole image is left out.
    """

    labels: tuple[Label, ...]
    description: str
    images: dict[str, Coded | Painted]
    sizes: dict[str, tuple[int, int]]
    problems: tuple[str, ...]


def read_coco(path: Path) -> CocoSegments:
    """Read a COCO file. Raises SpadeError where it is none, or none of its annotations can be used."""
    document = read_json(path, "COCO file", f"name {KINDS}.")
    try:
        categories = {_whole(c["id"], "a category's id"): number for number, c in enumerate(document["categories"])}
        if len(categories) < len(document["categories"]):
            raise ValueError("two categories of one id")
        labels = category_labels(path, document["categories"])
        info = document.get("info")
        description = one_line(str(info.get("description") or ""), 200) if isinstance(info, dict) else ""
        # 7 and "7" are one id: both are written.
        names = {str(image["id"]): str(image["file_name"]) for image in document["images"]}
        if len(names) < len(document["images"]):
            raise ValueError("two images of one id")
        sizes = {str(image["file_name"]): size for image in document["images"] if (size := _size(image))}
        annotations = list(document["annotations"])
    except _WRONG as error:
        raise SpadeError(f"{path}: is no COCO file of segments ({reason_of(error)}); name {KINDS}.") from None
    images: dict[str, Coded | Painted] = {}
    problems, bad = [], set()
    for number, annotation in enumerate(annotations):
        name = None
        try:
            name = names.get(str(annotation["image_id"]))
            if name is None:
                raise ValueError(f"image_id {str(annotation['image_id'])[:40]} is the id of none of its images")
            _enter(path, images, name, annotation, categories)
        except _WRONG as error:
            problems.append(f"annotations[{number}]: {reason_of(error)}")
            bad.add(name)
    images = {name: found for name, found in images.items() if name not in bad}
    if problems and not images:
        raise SpadeError(f"{path}: is no COCO file of segments ({problems[0]}); name {KINDS}.")
    if problems:
        warnings.warn(
            f"{path}: {len(problems)} of {len(annotations)} annotations cannot be used, and their images are left out "
            f"({problems[0]}).",
            SpadeWarning,
            stacklevel=2,
        )
    return CocoSegments(labels, description, images, sizes, tuple(problems))


def _enter(
    path: Path, images: dict[str, Coded | Painted], name: str, annotation: Mapping[str, Any], known: Mapping[int, int]
) -> None:
    """Take an annotation into its image's segments."""
    if "segments_info" in annotation:
        rows = [(_whole(s["id"], "a segment's id"), _kind(s, known)) for s in annotation["segments_info"]]
        ids = [identity for identity, _ in rows]
        if len(set(ids)) != len(ids) or not all(0 < identity < 1 << 24 for identity in ids):
            raise ValueError(f"{name} has a segment id twice, or one that no panoptic png holds; ids are 1 to 16777215")
        if name in images:
            raise ValueError(f"{name} has two annotations")
        images[name] = Painted(_png(path, str(annotation["file_name"])), rows)
        return
    if not annotation.get("segmentation"):
        raise SpadeError(
            f"{path}: an annotation of image {annotation['image_id']} has a box and no mask; give segmentations."
        )
    score = float(annotation.get("score", 1.0))
    if not 0 <= score <= 1:
        raise ValueError(f"a score of {score}, which is no probability")
    coded = images.setdefault(name, Coded([], []))
    if not isinstance(coded, Coded):
        raise ValueError(f"{name} has a panoptic png, and masks as well")
    coded.kinds.append(_kind(annotation, known))
    coded.masks.append(CodedMask(annotation["segmentation"], score))


def _kind(segment: Mapping[str, Any], known: Mapping[int, int]) -> Kind:
    category = _whole(segment["category_id"], "category_id")
    if category not in known:
        raise ValueError(f"category_id {category} is the id of none of its categories")
    return known[category], thing_flag(segment.get("isthing"))


def _whole(value: Any, field: str) -> int:
    if not is_whole(value):
        raise ValueError(f"{field} {str(value)[:40]!r} is no whole number")
    return int(value)


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _png(path: Path, name: str) -> Path:
    """Where COCO and others put the pngs: a folder of the json's name, one called panoptic, or beside the json."""
    folder = path.parent
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        name = base_name(name)  # where the file was written; its pngs came with it
    places = [inside(folder, f"{part}/{name}", path) for part in (path.stem, "panoptic")]
    places.append(inside(folder, name, path))
    return next((place for place in places if place.is_file()), places[0])
