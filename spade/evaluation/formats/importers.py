"""Predictions in other tools' formats: sgbench's files, and the submissions of the OpenPSG competition.

Nothing is extracted and nothing unpickled: members of a zip are read into memory, and names that lead out are refused.
"""

from __future__ import annotations

import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tifffile

from spade.core.digests import digest
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, inside
from spade.core.quiet import TIFFFILE
from spade.data.psg import Dataset, Record
from spade.evaluation.formats.predictions import (
    UNREADABLE,
    as_annotated,
    checked,
    checked_boxes,
    checked_count,
    known_images,
    shortened,
    told_of,
)
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.predicted_image import ImageError, PredictedImage
from spade.evaluation.scoring.rows import Rows
from spade.structures.panoptic_png import read_planes

NO_MASKS = Layers((), np.zeros(0, np.int64), np.zeros(0, np.int64))
# What zipfile raises for damaged archives: RuntimeError for encrypted members and for compression that it does not
# know, ValueError for names that are not what they say.
DAMAGED = (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError)
LARGEST = 1 << 30  # bytes of one unpacked member; more is a mistake or an attack


class Files:
    """The files of a folder or of a zip, by names relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path) if path.is_file() else None
        except DAMAGED as error:
            raise SpadeError(f"{path}: this zip cannot be opened ({error}); pack the predictions anew.") from None
        # Both slashes separate: some tools on Windows pack names with their own.
        self._members = {name.replace("\\", "/"): name for name in (self._zip.namelist() if self._zip else ())}
        for name in sorted(self._members):
            inside(path, name.rstrip("/"), path)

    @property
    def names(self) -> list[str]:
        """A zip's members, sorted; none of a folder."""
        return sorted(self._members)

    def __contains__(self, name: str) -> bool:
        if self._zip is not None:
            return name in self._members
        try:
            return inside(self.path, name, self.path).is_file()
        except SpadeError:  # a name that leads out, or that no file system holds
            return False

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises SpadeError for a name that leads out, an absent or a broken file."""
        place = inside(self.path, name, self.path)
        try:
            if self._zip is None:
                return place.read_bytes()
            member = self._zip.getinfo(self._members[name])
            if member.file_size > LARGEST:
                raise SpadeError(
                    f"{self.path}: {name} unpacks to more than {LARGEST >> 20} MB; pack the predictions anew."
                )
            return self._zip.read(member)
        except (KeyError, FileNotFoundError):
            raise SpadeError(f"{self.path}: holds no {name}; pack the predictions anew.") from None
        except DAMAGED as error:
            raise SpadeError(f"{self.path}: {name} cannot be read ({error}); pack the predictions anew.") from None

    def fingerprint(self, names: Sequence[str]) -> str:
        """Hash of a zip, or of the named files of a folder."""
        if self._zip is not None:
            return digest(self.path)
        return canonical_hash(
            [[name, digest(self.path / name) if name in self else None] for name in sorted(set(names))]
        )


class _Note(msgspec.Struct):
    category: int
    bbox: list[float] | None = None


class _SgbenchImage(msgspec.Struct):
    triplets: list[tuple[int, int, int]]
    annotation: list[_Note]
    ng_triplets: list[tuple[int, int, int]] | None = None
    seg_filename: str | None = None


class _Part(msgspec.Struct):
    id: int
    category_id: int


class _Entry(msgspec.Struct):
    segments_info: list[_Part]
    relations: list[list[int]]
    pan_seg_file_name: str


class Imported(ABC):
    """What the importers share: the index by image, and one sentence for whatever is wrong with an image."""

    def __init__(self, path: Path, dataset: Dataset, predcls: bool, lenient: bool) -> None:
        self.path, self.dataset, self.predcls, self.lenient = path, dataset, predcls, lenient
        self.problems: list[str] = []
        self.images: dict[str, Any] = {}

    def enter(self, image_id: str, image: Any) -> None:
        """Take an image into the index."""
        if image_id in self.images:
            problem = f"{self.path}: image {image_id} occurs twice; keep one prediction an image."
            if not self.lenient:
                raise SpadeError(problem)
            self.problems.append(problem)
            return
        self.images[image_id] = image

    def get(self, record: Record) -> PredictedImage | None:
        """The prediction for a record; None if there is none. Raises SpadeError naming image and field."""
        image = self.images.get(record.image_id)
        if image is None:
            return None
        with told_of(self.path, record):
            predicted = self.read(image, record)
            if self.predcls:
                as_annotated(record, predicted.categories)
            return predicted

    @abstractmethod
    def read(self, image: Any, record: Record) -> PredictedImage:
        """One image of the format."""

    def triples(self, rows: Sequence[Sequence[int]], segments: int, field: str, first: int = 0) -> np.ndarray:
        """(R, 3) checked triples; predicates are counted from ``first`` in the file, from 0 here."""
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        subject, target, predicate = (list(column) for column in columns)
        predicates = len(self.dataset.predicates)
        return np.column_stack(
            [
                checked(subject, segments, f"{field}[{{}}]: subject", "segments"),
                checked(target, segments, f"{field}[{{}}]: object", "segments"),
                checked(predicate, predicates, f"{field}[{{}}]: predicate", "predicates", first),
            ]
        )


class Sgbench(Imported):
    """sgbench 1.0.0: a zip of triplets.json and one TIFF of masks an image, or the json alone with boxes.

    Triplets are ranked lists without scores; ``ng_triplets`` is the list without graph constraint, where there is one.
    """

    def __init__(self, path: Path, dataset: Dataset, predcls: bool = False, lenient: bool = False) -> None:
        super().__init__(path, dataset, predcls, lenient)
        self.files = Files(path) if zipfile.is_zipfile(path) else None
        document = _document(path, self.files.read("triplets.json") if self.files else path.read_bytes())
        if (
            not isinstance(document, dict)
            or document.get("version") != 1
            or not isinstance(document.get("images"), list)
        ):
            raise SpadeError(f"{path}: is no sgbench file of version 1 (an object with version and images).")
        for index, image in enumerate(document["images"]):
            if not isinstance(image, dict) or not isinstance(image.get("id"), (str, int)):
                raise SpadeError(f"{path}: images[{index}] has no id; write it again with sgbench.")
            self.enter(str(image["id"]), image)
        self.problems += known_images(path, dataset, list(self.images), lenient)

    def fingerprint(self) -> str:
        """Hash of the file."""
        return digest(self.path)

    def read(self, image: Any, record: Record) -> PredictedImage:
        """One image: its TIFF holds a mask (H, W) for each entry of annotation."""
        entry = msgspec.convert(image, _SgbenchImage)
        count = checked_count(len(entry.annotation), "annotation")
        categories = checked(
            [n.category for n in entry.annotation], len(self.dataset.classes), "annotation[{}].category", "classes"
        )
        ranked = self.triples(entry.triplets, count, "triplets")
        free = self.triples(entry.ng_triplets, count, "ng_triplets") if entry.ng_triplets else None
        boxes = checked_boxes([n.bbox for n in entry.annotation], "annotation[{}].bbox")
        layers = None
        if self.files is not None and not self.predcls:
            layers = self._masks(self.files, entry.seg_filename or "", count, record) if count else NO_MASKS
        return PredictedImage(
            record.image_id, categories, np.ones(count), Rows(ranked[:, :2], ranked[:, 2], free=free), layers, boxes
        )

    def _masks(self, files: Files, name: str, count: int, record: Record) -> Layers:
        expected = (count, record.height, record.width)
        try:
            with TIFFFILE, tifffile.TiffFile(io.BytesIO(files.read(name))) as tiff:
                shape = tuple(tiff.series[0].shape)
                if shape != expected and not (count == 1 and shape == expected[1:]):
                    what = f"{count} masks of {record.height} rows and {record.width} columns"
                    raise ImageError(f'seg_filename: "{name}" has shape {shape}, not {what}')
                masks = tiff.asarray().reshape(expected)
        except (tifffile.TiffFileError, IndexError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f'seg_filename: "{name}" is no readable TIFF ({shortened(error)})') from None
        maps = tuple((mask != 0).astype(np.uint32) for mask in masks)
        return Layers(maps, np.arange(count), np.ones(count, np.int64))


class Submission(Imported):
    """A submission to the OpenPSG competition, as OpenPSG's and HiLo's grading tools read it: relation.json and
    panseg/*.png.

    A list with one entry for each test image that has relations, in the order of the annotation file, without ids.
    Categories and predicates count from 1, relations are ranked and have no scores.
    """

    def __init__(self, path: Path, dataset: Dataset, predcls: bool = False, lenient: bool = False) -> None:
        super().__init__(path, dataset, predcls, lenient)
        self.files = Files(path.parent if path.name == "relation.json" else path)
        document = _document(path, self.files.read("relation.json"))
        if not isinstance(document, list):
            raise SpadeError(f"{path}: relation.json is no list of objects, one an image.")
        records = [record for record in dataset.split("test") if record.relations]
        if len(records) != len(document):
            raise SpadeError(
                f"{path}: relation.json has {len(document)} images, {dataset.source} {len(records)} test images "
                "with relations; images go by their order, so the numbers must agree."
            )
        for record, entry in zip(records, document, strict=True):
            self.enter(record.image_id, entry)

    def fingerprint(self) -> str:
        """Hash of the list and its pngs."""
        names = [entry.get("pan_seg_file_name") for entry in self.images.values() if isinstance(entry, dict)]
        return self.files.fingerprint(["relation.json", *(self._png(name) for name in names if isinstance(name, str))])

    def _png(self, name: str) -> str:
        return f"panseg/{name}" if f"panseg/{name}" in self.files or name not in self.files else name

    def read(self, image: Any, record: Record) -> PredictedImage:
        """One image: its png holds the segments' ids as colours."""
        entry = msgspec.convert(image, _Entry)
        count = checked_count(len(entry.segments_info), "segments_info")
        for place, row in enumerate(entry.relations):
            if len(row) < 3:
                raise ImageError(f"relations[{place}]: {row} is no [subject, object, predicate]")
        classes = len(self.dataset.classes)
        categories = checked(
            [s.category_id for s in entry.segments_info], classes, "segments_info[{}].category_id", "classes", first=1
        )
        triples = self.triples([row[:3] for row in entry.relations], count, "relations", first=1)
        layers = None
        if not self.predcls:
            name = self._png(entry.pan_seg_file_name)
            planes = read_planes(Path(name), self.files.read(name), (record.width, record.height))
            ids = (
                checked([s.id for s in entry.segments_info], (1 << 24) - 1, "segments_info[{}].id", "ids", first=1) + 1
            )
            if len(np.unique(ids)) < count:
                raise ImageError("segments_info: one id occurs twice")
            layers = Layers((planes,), np.zeros(count, np.int64), ids)
        return PredictedImage(record.image_id, categories, np.ones(count), Rows(triples[:, :2], triples[:, 2]), layers)


def _document(path: Path, text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except UNREADABLE as error:
        try:  # other tools write with Python, which allows NaN; numbers are checked where they are needed
            return json.loads(text)
        except (ValueError, RecursionError):
            reason = str(error).splitlines()[0][:100]
            raise SpadeError(f"{path}: is not valid json ({reason}); write it again.") from None
