"""The exchange format, version 1: how any system hands over its predictions (docs/formats.md,
docs/predictions.schema.json).

Json lines: a header, then one image a line; panoptic pngs lie in paths relative to the file. A single json document
with all images under "predictions" is read too. Files are indexed once and read an image at a time, so their size does
not matter.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from spade.core.digests import digest
from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, inside
from spade.data.psg import Dataset, Record
from spade.evaluation.formats.predictions import (
    LARGEST,
    SEE,
    UNREADABLE,
    as_annotated,
    checked,
    checked_boxes,
    checked_count,
    known_images,
    same_names,
    told_of,
)
from spade.evaluation.scoring.masks import Layers
from spade.evaluation.scoring.predicted_image import ImageError, PredictedImage
from spade.evaluation.scoring.rows import ranked
from spade.structures.mask_stack import read_masks
from spade.structures.panoptic_png import read_planes

FORMAT, VERSION = "spade-predictions", 1


class _Segment(msgspec.Struct):
    category_id: int
    id: int = 1
    layer: int = 0
    score: Annotated[float, msgspec.Meta(ge=0, le=LARGEST)] = 1.0
    bbox: list[float] | None = None


class _Relation(msgspec.Struct):
    subject: int
    object: int
    scores: list[float]


class _Proposals(msgspec.Struct):
    file_name: str
    count: int


class _Image(msgspec.Struct):
    image_id: str | int
    segments_info: list[_Segment]
    relations: list[_Relation]
    height: int | None = None
    width: int | None = None
    pan_seg_file_names: list[str] = []
    proposals: _Proposals | None = None


class _Identity(msgspec.Struct):
    image_id: str | int


class _Name(msgspec.Struct):
    image_id: str | int
    pan_seg_file_names: Any = None
    proposals: Any = None


IMAGE, NAME = msgspec.json.Decoder(_Image), msgspec.json.Decoder(_Name)


class Exchange:
    """An exchange file of either form. ``predcls``: masks are not opened, segments stand for the annotated ones by
    index.

    Raises SpadeError for a file that cannot be used, and for a bad image in it unless ``lenient``.
    """

    def __init__(self, path: Path, dataset: Dataset, predcls: bool = False, lenient: bool = False) -> None:
        self.path, self.dataset, self.predcls = path, dataset, predcls
        self.problems: list[str] = []
        self._rows: dict[str, tuple[int, int] | bytes] = {}  # an image's place in the file, or its json
        self._bad: dict[str, str] = {}  # image_id: what is wrong with it
        self._pngs: set[str] = set()
        self._file = open(path, "rb")  # noqa: SIM115 - stays open: images are read when they are asked for
        self._reading = threading.Lock()
        for place, row, at in self._split():
            try:
                self._enter(place, row, at)
            except SpadeError as error:
                if not lenient:
                    raise
                self.problems.append(str(error))
        self.problems += known_images(path, dataset, [*self._rows, *self._bad], lenient)

    def _split(self) -> Iterator[tuple[str, bytes, int | None]]:
        """All images as (where, json, offset in the file if it has one), not yet read."""
        first = self._file.readline()
        try:
            head = msgspec.json.decode(first.removeprefix(b"\xef\xbb\xbf"))  # tools on Windows begin files so
        except UNREADABLE:
            head = None
        if not (isinstance(head, dict) and "format" in head):
            yield from self._document(first + self._file.read())
            return
        self._check(head)
        at = len(first)
        for number, line in enumerate(self._file, 2):
            if not line.isspace():
                yield f"line {number}", line, at
            at += len(line)

    def _check(self, head: Mapping[str, Any]) -> None:
        if head["format"] != FORMAT or head.get("version") != VERSION:
            version = f"{head['format']!r} version {head.get('version')!r}"
            raise SpadeError(f"{self.path}: its header says {version}; this spade reads {FORMAT!r} version {VERSION}.")
        same_names(self.path, "object_classes", head.get("object_classes"), self.dataset.classes, self.dataset)
        same_names(self.path, "predicate_classes", head.get("predicate_classes"), self.dataset.predicates, self.dataset)

    def _document(self, text: bytes) -> Iterator[tuple[str, bytes, None]]:
        text = text.removeprefix(b"\xef\xbb\xbf")
        try:
            top = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            rows: list[Any] = msgspec.json.decode(top.get("predictions", b"null"), type=list[msgspec.Raw])
        except msgspec.ValidationError:
            raise SpadeError(f"{self.path}: has no header line and no list under predictions; {SEE}.") from None
        except UNREADABLE as error:
            try:  # a NaN, which json does not know, would hide which image it is in
                rows = [json.dumps(row).encode() for row in json.loads(text)["predictions"]]
            except (ValueError, TypeError, KeyError, RecursionError):
                reason = str(error).splitlines()[0][:100]
                raise SpadeError(f"{self.path}: is not valid json ({reason}); write it again, {SEE}.") from None
        for index, row in enumerate(rows):
            yield f"predictions[{index}]", bytes(row), None

    def _enter(self, place: str, row: bytes, at: int | None) -> None:
        """Take one image into the index."""
        bad = None
        try:
            name = NAME.decode(row)
        except msgspec.ValidationError:
            raise SpadeError(f"{self.path}: {place} has no image_id; {SEE}.") from None
        except UNREADABLE as error:
            name, bad = self._unreadable(place, row, str(error))
        image_id = str(name.image_id)
        if image_id in self._rows or image_id in self._bad:
            raise SpadeError(f"{self.path}: image {image_id} occurs twice ({place}); keep one prediction an image.")
        if bad is not None:
            self._bad[image_id] = bad
            return
        self._rows[image_id] = row if at is None else (at, len(row))
        if isinstance(name.pan_seg_file_names, list):
            self._pngs.update(map(str, name.pan_seg_file_names))
        if isinstance(name.proposals, dict) and isinstance(name.proposals.get("file_name"), str):
            self._pngs.add(name.proposals["file_name"])

    def _unreadable(self, place: str, row: bytes, why: str) -> tuple[_Name, str]:
        """Which image it is whose line cannot be read, and what is wrong with it. Raises SpadeError where even that is
        lost.
        """
        try:
            return _Name(msgspec.json.decode(row, type=_Identity).image_id), why  # bytes that are no text, elsewhere
        except (msgspec.ValidationError, *UNREADABLE):
            pass
        try:  # NaN and infinities are json to Python
            data = json.loads(row)
            found = _not_finite(data)
            return _Name(data["image_id"]), why if found is None else f"{found} is not a finite number"
        except (ValueError, TypeError, KeyError, RecursionError):
            reason = "it ends too early" if "truncated" in why else why
            raise SpadeError(f"{self.path}: {place} is not valid json ({reason}); write it again, {SEE}.") from None

    def fingerprint(self) -> str:
        """Hash of the file and of every png that it names; an absent one counts as nothing."""
        pngs = []
        for name in sorted(self._pngs) if not self.predcls else ():
            try:
                path = inside(self.path.parent, name, self.path)
                pngs.append([name, digest(path) if path.is_file() else None])
            except SpadeError:  # a name that leads out is never opened; its image is refused when it is read
                pngs.append([name, None])
        return canonical_hash([digest(self.path), pngs])

    def get(self, record: Record) -> PredictedImage | None:
        """The prediction for a record; None if there is none. Raises SpadeError naming image and field."""
        if record.image_id in self._bad:
            raise SpadeError(f"{self.path}: image {record.image_id}: {self._bad[record.image_id]}; {SEE}.")
        row = self._rows.get(record.image_id)
        if row is None:
            return None
        if isinstance(row, tuple):
            with self._reading:
                self._file.seek(row[0])
                row = self._file.read(row[1])
        with told_of(self.path, record, "pan_seg_file_names: "):
            return self._read(IMAGE.decode(row), record)

    def _read(self, image: _Image, record: Record) -> PredictedImage:
        for field, given, true in (("height", image.height, record.height), ("width", image.width, record.width)):
            if given is not None and given != true:
                raise ImageError(f"{field} is {given}, that of the image {true}")
        count = checked_count(len(image.segments_info), "segments_info")
        categories = checked(
            [s.category_id for s in image.segments_info],
            len(self.dataset.classes),
            "segments_info[{}].category_id",
            "classes",
        )
        if self.predcls:
            as_annotated(record, categories)
        pairs = np.column_stack(
            [
                checked([r.subject for r in image.relations], count, "relations[{}].subject", "segments"),
                checked([r.object for r in image.relations], count, "relations[{}].object", "segments"),
            ]
        )
        predicates = len(self.dataset.predicates)
        for index, relation in enumerate(image.relations):
            if len(relation.scores) != predicates:
                raise ImageError(
                    f"relations[{index}].scores has {len(relation.scores)} "
                    f"numbers, the data set {predicates} predicates"
                )
        scores = np.array([r.scores for r in image.relations], np.float64).reshape(len(pairs), predicates)
        if len(scores) and np.abs(scores).max() > LARGEST:
            row, column = np.unravel_index(np.abs(scores).argmax(), scores.shape)
            raise ImageError(
                f"relations[{row}].scores[{column}] is {scores[row, column]:g}; scores lie within {LARGEST:g} of 0"
            )
        strengths = np.array([s.score for s in image.segments_info], np.float64)
        layers = None if self.predcls or not (image.pan_seg_file_names or not count) else self._layers(image, record)
        boxes = checked_boxes([s.bbox for s in image.segments_info], "segments_info[{}].bbox")
        rows, proposals = ranked(pairs, scores, strengths), None
        if layers is not None and (stack := image.proposals) is not None:
            proposals = read_masks(inside(self.path.parent, stack.file_name, self.path), stack.count)
        return PredictedImage(record.image_id, categories, strengths, rows, layers, boxes, proposals)

    def _layers(self, image: _Image, record: Record) -> Layers:
        names = image.pan_seg_file_names
        pngs = checked_count(len(names), "pan_seg_file_names")
        layer = checked([s.layer for s in image.segments_info], pngs, "segments_info[{}].layer", "pngs")
        ids = checked([s.id for s in image.segments_info], (1 << 24) - 1, "segments_info[{}].id", "ids", first=1) + 1
        keys = layer << 24 | ids
        if len(np.unique(keys)) < len(keys):
            raise ImageError("segments_info: one id of one layer occurs twice")
        size = record.width, record.height
        maps = tuple(read_planes(inside(self.path.parent, name, self.path), size=size) for name in names)
        return Layers(maps, layer, ids)


def _not_finite(data: Any, path: str = "") -> str | None:
    """Where the first NaN or infinity of a json value is."""
    if isinstance(data, float):
        return None if math.isfinite(data) else f"{path} {data}"
    children: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        inner = f"{path}[{key}]" if isinstance(data, list) else f"{path}.{key}".lstrip(".")
        if (found := _not_finite(value, inner)) is not None:
            return found
    return None
