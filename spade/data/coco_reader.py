"""COCO instances with relations, as SGG-Benchmark writes PSG, Visual Genome and others: a json file for each split.

Beside COCO's images, annotations and categories, ``rel_categories`` names predicates and ``rel_annotations`` holds
subject_id, predicate_id, object_id: ids of annotations, and of a row of rel_categories.
"""

from __future__ import annotations

import mmap
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from spade.core.errors import SpadeError, reason_of
from spade.core.files import inside
from spade.data.categories import category_labels
from spade.data.checks import RecordError, is_whole
from spade.data.psg import Dataset
from spade.data.psg_reader import image_root, parsed
from spade.data.records import Collected, LabelLists

SPLITS = ("train", "val", "test")
WORD = re.compile(r"(?<![a-z])(train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)(?![a-z])")
FOLDERS = ("", "annotations")
DOCS = "docs/own-data.md"
FORM = f"COCO's object with relations; see {DOCS}"
KEYS = ("images", "annotations", "categories", "rel_categories", "rel_annotations")
WRONG = (RecordError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def find_coco(data: Path) -> list[tuple[str, Path]]:
    """(split, file) of each COCO file with relations: the named file, or those of a folder whose names say train, val
    or test; "all" for a file whose name says none of them. Beside such a file one that is no json is named, too: no
    split is lost unseen.
    """
    if data.is_file():
        return [(_split(data), data)] if data.suffix == ".json" and has_relations(data) else []
    named = [(_split(path), path) for folder in FOLDERS for path in sorted((data / folder).glob("*.json"))]
    candidates = [(split, path) for split, path in named if split != "all"]
    found = [path for _, path in candidates if has_relations(path)]
    return [(split, path) for split, path in candidates if path in found or (found and _is_damaged(path))]


def has_relations(path: Path) -> bool:
    """Whether a json file holds relations as this format has them; the file is searched, not parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(b'"rel_annotations"') >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def _is_damaged(path: Path) -> bool:
    try:
        msgspec.json.decode(path.read_bytes(), type=msgspec.Raw)
    except (OSError, ValueError, RecursionError):
        return True
    return False


def load_coco(files: list[tuple[str, Path]], folder: Path, images: Path | None = None) -> Dataset:
    """One data set of the files of its splits, with its images below ``folder``, or in ``images``. Raises SpadeError
    where a file is damaged, or they are not of one data set.
    """
    if doubled := next((split for split, _ in files if [s for s, _ in files].count(split) > 1), None):
        names = " and ".join(str(path) for split, path in files if split == doubled)
        raise SpadeError(f"{names}: are both of the split {doubled}; name one file.")
    (_, source), *others = files
    root, found = image_root(folder / source.name, images), Collected()
    parts = [_File.read(path) for _, path in files]
    first, ids = parts[0], dict[str, frozenset[str]]()
    for (split, path), part in zip(files, parts, strict=True):
        if part.lists != first.lists or part.labels != first.labels:
            raise SpadeError(f"{path}: lists other categories than {source}; give files of one data set.")
        if part.has_masks != first.has_masks:
            raise SpadeError(
                f"{path}: {_masks(part.has_masks)}, and {source} {_masks(first.has_masks)}; give files of one kind."
            )
        before = len(found.records)
        # Some tools number the images of each file from 0 on.
        prefix = f"{split}-" if found.ids & {_key(i.get("id")) for i in part.images if isinstance(i, dict)} else ""
        found.add(path, part.rows(root, split, prefix), part.lists, with_maps=False)
        found.problems += part.strays()
        if part.has_masks:
            found.records[before:] = [part.with_masks(record) for record in found.records[before:]]
        ids[split] = frozenset(record.image_id for record in found.records[before:])
    found.check(source, DOCS)
    place = folder if others else source
    return Dataset(
        *(source, root, first.lists.things, first.lists.stuff, first.lists.predicates, tuple(found.records)),
        *(ids.get("test", frozenset()), tuple(found.problems), False, tuple(found.sentences(place))),
        has_masks=first.has_masks,
        val_ids=ids.get("val", frozenset()),
        others=tuple(path for _, path in others),
        place=place,
    )


def _masks(there: bool) -> str:
    return "has masks" if there else "has boxes alone"


def _split(path: Path) -> str:
    """The split that a file's name says, as train.json or instances_train2017.json does; latest.json says none."""
    found = WORD.search(path.stem.lower())
    return "all" if found is None else next(split for split in SPLITS if found[1].startswith(split))


@dataclass(frozen=True)
class _File:
    """One file, taken apart: rows of each image as json, which are read when they are asked for."""

    path: Path
    labels: tuple[Any, ...]  # spade.structures.vocabulary.Label, in the order of the file
    lists: LabelLists
    category: Mapping[int, int]  # id to place in things + stuff
    predicate: Mapping[int, int]  # id to place in predicates
    images: list[Any]
    annotations: Mapping[str, list[Any]]  # by image
    relations: Mapping[str, list[Any]]
    has_masks: bool

    @classmethod
    def read(cls, path: Path) -> _File:
        document = parsed(path, FORM)
        if missing := [key for key in KEYS if key not in document]:
            raise SpadeError(f"{path}: has no {missing[0]}; give COCO's annotations with relations ({DOCS}).")
        try:
            categories, rel_categories = (msgspec.json.decode(document[key], type=list[Any]) for key in KEYS[2:4])
            labels = category_labels(path, categories)
            order = sorted(range(len(labels)), key=lambda n: not labels[n].is_thing)
            place = {_id(categories[n]["id"], "a category's id"): i for i, n in enumerate(order)}
            named = [row if isinstance(row, dict) else {"id": n, "name": row} for n, row in enumerate(rel_categories)]
            predicate = {_id(row["id"], "a predicate's id"): n for n, row in enumerate(named)}
            if len(place) < len(labels) or len(predicate) < len(named):
                raise ValueError("two categories of one id")
            lists = LabelLists(
                tuple(labels[n].name for n in order if labels[n].is_thing),
                tuple(labels[n].name for n in order if not labels[n].is_thing),
                tuple(str(row["name"]) for row in named),
                ("categories", "categories", "rel_categories"),
            )
            lists.check(path, DOCS)
            images, annotations, relations = (
                msgspec.json.decode(document[key], type=list[msgspec.Raw] if key != "images" else list[Any])
                for key in ("images", "annotations", "rel_annotations")
            )
        except WRONG as error:
            raise SpadeError(f"{path}: is no COCO file with relations ({reason_of(error)}); see {DOCS}.") from None
        by_image = _by_image(path, annotations, "annotations")
        some = [_is_masked(rows[0]) for rows in islice(by_image.values(), 9)]
        has_masks = 2 * sum(some) > len(some)
        related = _by_image(path, relations, "rel_annotations")
        return cls(path, tuple(labels), lists, place, predicate, images, by_image, related, has_masks)

    def strays(self) -> list[str]:
        """A sentence where annotations, or relations, are of images that the file does not list."""
        known = {_key(image.get("id")) for image in self.images if isinstance(image, dict)}
        sentences = []
        for what, rows in (("annotations", self.annotations), ("rel_annotations", self.relations)):
            if lost := [key for key in rows if key not in known]:
                count = sum(len(rows[key]) for key in lost)
                sentences.append(
                    f"{self.path}: {count} {what} left out, of images that it does not list (image_id {lost[0][:40]})"
                )
        return sentences

    def rows(self, root: Path, split: str, prefix: str) -> Iterator[Any]:
        """For each image what makes its row in PSG's form; ``prefix`` of its id."""
        folder = _folder(root, split, self.images)
        for image in self.images:
            yield partial(self._row, image, folder, prefix)

    def _row(self, image: Any, folder: str, prefix: str) -> dict[str, Any]:
        try:
            return self._converted(image, folder, prefix)
        except WRONG as error:
            raise RecordError(reason_of(error)) from None

    def _converted(self, image: Any, folder: str, prefix: str) -> dict[str, Any]:
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or "id" not in image:
            raise RecordError("images has an entry without id or file_name")
        key = _key(image["id"])
        annotations = [msgspec.json.decode(row) for row in self.annotations.get(key, ())]
        place = {_id(a["id"], "an annotation's id"): n for n, a in enumerate(annotations)}
        if len(place) < len(annotations):
            raise RecordError(f"image {key} has two annotations of one id")
        relations = [msgspec.json.decode(row) for row in self.relations.get(key, ())]
        inside(self.path.parent, image["file_name"], self.path)
        return {
            "image_id": prefix + key,
            "coco_image_id": key,
            "file_name": folder + image["file_name"],
            **{name: image[name] for name in ("width", "height") if name in image},
            "segments_info": [self._segment(n, a) for n, a in enumerate(annotations)],
            "annotations": [{"bbox": _corners(a.get("bbox")), "bbox_mode": 0} for a in annotations],
            "relations": [self._relation(r, place) for r in relations],
        }

    def _segment(self, number: int, annotation: Mapping[str, Any]) -> dict[str, Any]:
        category = _id(annotation["category_id"], "category_id")
        if category not in self.category:
            raise RecordError(f"category_id {category} is the id of none of its categories")
        found = self.category[category]
        if bool(annotation.get("segmentation")) != self.has_masks:
            raise RecordError(f"annotation {annotation['id']} {_masks(not self.has_masks)}, and others do not")
        area = annotation.get("area")
        return {
            "id": number + 1,
            "category_id": found,
            "isthing": int(found < len(self.lists.things)),
            "iscrowd": annotation.get("iscrowd"),
            "area": None if area is None else int(area),
        }

    def _relation(self, relation: Mapping[str, Any], place: Mapping[int, int]) -> list[int]:
        ends = [_id(relation[name], name) for name in ("subject_id", "object_id")]
        for end in ends:
            if end not in place:
                raise RecordError(f"a relation names annotation {end}, which its image does not have")
        predicate = _id(relation["predicate_id"], "predicate_id")
        if predicate not in self.predicate:
            raise RecordError(f"predicate_id {predicate} is the id of none of its rel_categories")
        return [place[ends[0]], place[ends[1]], self.predicate[predicate]]

    def with_masks(self, record: Any) -> Any:
        """A record with its segments' masks, still as json."""
        rows = self.annotations.get(record.coco_image_id, ())
        return replace(record, masks=tuple(bytes(_segmentation.decode(row).segmentation) for row in rows))


def _corners(box: Any) -> Any:
    """x, y, width, height as x1, y1, x2, y2; what is none stays as it is, and is told."""
    if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)):
        return box
    x, y, width, height = box
    return [x, y, x + width, y + height]


class _Segmentation(msgspec.Struct):
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class _Of(msgspec.Struct):
    image_id: int | float | str


_segmentation, _of = msgspec.json.Decoder(_Segmentation), msgspec.json.Decoder(_Of)


def _by_image(path: Path, rows: list[Any], what: str) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for number, row in enumerate(rows):
        try:
            found[_key(_of.decode(row).image_id)].append(row)
        except (ValueError, RecursionError) as error:
            raise SpadeError(f"{path}: {what}[{number}]: {reason_of(error)}; see {DOCS}.") from None
    return found


def _is_masked(row: Any) -> bool:
    try:
        return bool(msgspec.json.decode(_segmentation.decode(row).segmentation))
    except (ValueError, RecursionError):  # told when the row is read
        return False


def _folder(root: Path, split: str, images: list[Any]) -> str:
    """The folder below the root in which a split's images lie, with a slash; none where none of the usual holds the
    first.
    """
    name = images[0].get("file_name") if images and isinstance(images[0], dict) else None
    for folder in ("", "images/", f"{split}/", f"images/{split}/", f"{split}2017/"):
        try:
            if isinstance(name, str) and inside(root, folder + name, root).is_file():
                return folder
        except SpadeError:  # told when the row is read
            break
    return ""


def _key(value: Any) -> str:
    """An image's id as text: 7, 7.0 and "7" are one."""
    return str(int(value)) if is_whole(value) else str(value)


def _id(value: Any, what: str) -> int:
    if not is_whole(value):
        raise RecordError(f"{what} {str(value)[:40]!r}; give a whole number")
    return int(value)
