"""Visual Genome's VG150 as the field has it: boxes and relations in an h5 file, names and image sizes in json.

The layout is that of the scene-graph-TF-release preprocessing, which every VG150 code base reads; what is done with its
quirks is in docs/visual-genome.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.errors import SpadeError, reason_of
from spade.core.files import read_json
from spade.core.optional import optional
from spade.data.checks import RecordError
from spade.data.psg import Dataset
from spade.data.psg_reader import image_root
from spade.data.records import Collected, LabelLists

H5 = ("VG-SGG-with-attri.h5", "VG-SGG.h5")
DICTS = ("VG-SGG-dicts-with-attri.json", "VG-SGG-dicts.json")
IMAGES = "image_data.json"
FOLDERS = ("VG_100K", "VG_100K_2", "images")
SCALES = (1024, 512)  # of the longer side; the finer one is read
DOCS = "docs/visual-genome.md"
CORRUPT = frozenset({1592, 1722, 4616, 4617})  # image_data.json lists them, the h5 file has no rows for them
ONE_PER_IMAGE = ("img_to_first_box", "img_to_last_box", "img_to_first_rel", "img_to_last_rel", "split")
MOST = 1 << 27  # numbers in a table; VG150 has 12 million
VAL, TEST = 1, 2  # as some files number splits; the usual one has no validation images


@dataclass(frozen=True)
class Tables:
    """The h5 file's columns: one row a box, a relation, an image (numbers of its first and last box and relation)."""

    boxes: np.ndarray  # (B, 4) int, centre x, y, width, height on the scale
    labels: np.ndarray  # (B,) from 1
    relations: np.ndarray  # (R, 3) subject, object (numbers of boxes in the whole file), predicate from 1
    images: np.ndarray  # (5, N): ONE_PER_IMAGE
    scale: int


def find_vg(folder: Path) -> Path | None:
    """VG150's h5 file in a folder, or the file itself; None where there is none."""
    if folder.suffix == ".h5":
        return folder if folder.is_file() else None
    return next((folder / name for name in H5 if (folder / name).is_file()), None)


def load_vg(source: Path, images: Path | None = None) -> Dataset:
    """VG150 from its h5 file, with the dictionaries and image_data.json beside it.

    Raises SpadeError where one of them is missing, damaged, or does not fit the others.
    """
    folder = source.parent
    dicts = next((folder / name for name in DICTS if (folder / name).is_file()), folder / DICTS[0])
    lists, sizes = _lists(dicts), _image_data(folder / IMAGES)
    tables = _tables(source, len(lists.things), len(lists.predicates))
    if len(sizes) != tables.images.shape[1]:
        raise SpadeError(
            f"{folder / IMAGES}: lists {len(sizes)} images without the {len(CORRUPT)} corrupt ones, and {source.name} "
            f"has {tables.images.shape[1]}; fetch both from one place."
        )
    root, found, cut = image_root(source, images), Collected(), Counter[str]()
    found.add(source, _rows(tables, sizes, _places(root, sizes), cut), lists, with_maps=False)
    found.check(source, DOCS)
    splits = tables.images[4].tolist()
    val, test = (
        frozenset(str(size["image_id"]) for size, split in zip(sizes, splits, strict=True) if split == number)
        for number in (VAL, TEST)
    )
    notes = (*found.sentences(source), *_quirks(source, tables, cut))
    return Dataset(
        *(source, root, lists.things, (), lists.predicates, tuple(found.records), test),
        *(tuple(found.problems), False, notes),
        has_masks=False,
        val_ids=val,
        others=(dicts, folder / IMAGES),
    )


def _lists(path: Path) -> LabelLists:
    data = read_json(path, "list of names", f"fetch {DICTS[0]}, which belongs to the h5 file.")
    names = []
    for key in ("label_to_idx", "predicate_to_idx"):
        numbers = data.get(key) if isinstance(data, Mapping) else None
        if not isinstance(numbers, Mapping) or sorted(map(str, numbers.values())) != sorted(
            str(n) for n in range(1, len(numbers) + 1)
        ):
            raise SpadeError(f"{path}: {key} does not number its names from 1 on; fetch {DICTS[0]} again.")
        names.append(tuple(sorted(numbers, key=lambda name: int(numbers[name]))))
    lists = LabelLists(names[0], (), names[1], ("label_to_idx", "", "predicate_to_idx"))
    lists.check(path, DOCS)
    return lists


def _image_data(path: Path) -> list[Mapping[str, Any]]:
    rows = read_json(path, "list of images", "fetch Visual Genome's image_data.json.")
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and isinstance(row.get("image_id"), (int, str)) for row in rows
    ):
        raise SpadeError(f"{path}: is no list of images with image_id, width and height; fetch image_data.json again.")
    return [row for row in rows if row["image_id"] not in CORRUPT]


def _tables(source: Path, labels: int, predicates: int) -> Tables:
    h5py = optional("h5py", f"{source.name}")
    try:
        with h5py.File(source, "r") as file:
            scale = next((n for n in SCALES if f"boxes_{n}" in file), SCALES[0])
            names = (f"boxes_{scale}", "labels", "relationships", "predicates", *ONE_PER_IMAGE)
            columns = {name: _column(h5py, file, name) for name in names}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise SpadeError(f"{source}: is no whole h5 file of VG150 ({reason_of(error)}); fetch {H5[0]} again.") from None
    boxes, related = columns[f"boxes_{scale}"], columns["relationships"]
    label, predicate = (columns[name].reshape(-1) for name in ("labels", "predicates"))
    images = [columns[name].reshape(-1) for name in ONE_PER_IMAGE]
    if (
        boxes.shape != (len(label), 4)
        or related.shape != (len(predicate), 2)
        or len({len(column) for column in images}) != 1
        or not all(np.issubdtype(c.dtype, np.integer) for c in (boxes, label, related, predicate, *images))
    ):
        raise SpadeError(f"{source}: its tables do not fit one another in length or kind; fetch {H5[0]} again.")
    for values, count, what in ((label, labels, "labels"), (predicate, predicates, "predicates")):
        if len(values) and not (values.min() >= 1 and values.max() <= count):
            raise SpadeError(
                f"{source}: its {what} go from {values.min()} to {values.max()}, the dictionaries name 1 to {count}; "
                "fetch both from one place."
            )
    for first, last in ((0, 1), (2, 3)):
        ranges = sorted((f, n) for f, n in zip(images[first].tolist(), images[last].tolist(), strict=True) if f >= 0)
        if any(n >= f for (_, n), (f, _) in pairwise(ranges)):
            raise SpadeError(f"{source}: two of its images share rows ({ONE_PER_IMAGE[first]}); fetch {H5[0]} again.")
    relations = np.column_stack([related.astype(np.int64), predicate])
    return Tables(boxes.astype(np.int64), label, relations, np.stack(images).astype(np.int64), scale)


def _column(h5py: Any, file: Any, name: str) -> np.ndarray:
    """A table that lies in the file itself: links and external storage would read other files of whoever opens it."""
    if name not in file:
        raise KeyError(f"{name} is missing")
    table = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(table, h5py.Dataset) or table.external or table.is_virtual or table.size > MOST:
        raise ValueError(f"{name} is no table of this file")
    return np.asarray(table[()])


def _rows(
    tables: Tables, sizes: Sequence[Mapping[str, Any]], places: Sequence[str], cut: Counter[str]
) -> Iterator[Any]:
    """For each image what makes its row in PSG's form; boxes as the public code has them: the corner is cut to a whole
    number on the scale, then stretched to the image, and what leaves that is ``cut`` and counted.
    """
    corner = np.trunc(tables.boxes[:, :2] - tables.boxes[:, 2:] / 2)
    boxes = np.concatenate([corner, corner + tables.boxes[:, 2:]], axis=1) / tables.scale
    for number, (size, place) in enumerate(zip(sizes, places, strict=True)):
        yield partial(_row, tables, boxes, number, size, place, cut)


def _row(
    tables: Tables, boxes: np.ndarray, number: int, size: Mapping[str, Any], place: str, cut: Counter[str]
) -> dict[str, Any]:
    first, last, first_relation, last_relation, _ = tables.images[:, number].tolist()
    count = 0 if first < 0 else last - first + 1
    related = 0 if first_relation < 0 else last_relation - first_relation + 1
    if count < 0 or related < 0 or last >= len(boxes) or last_relation >= len(tables.relations):
        raise RecordError(f"boxes {first} to {last}, relations {first_relation} to {last_relation}: no such rows")
    width, height = size.get("width"), size.get("height")
    if not (isinstance(width, int) and isinstance(height, int)):
        raise RecordError(f"image {size['image_id']} has no width and height in {IMAGES}")
    whole = boxes[first : first + count] * max(width, height)
    inside = whole.clip(0, (width, height, width, height))
    if (lost := np.flatnonzero(((whole[:, 2:] > whole[:, :2]) & (inside[:, 2:] <= inside[:, :2])).any(1))).size:
        raise RecordError(f"box {first + lost[0]} lies outside its image of {width} x {height}")
    cut["boxes that leave their image by a pixel or more, cut at its edge"] += int(
        (abs(whole - inside) >= 1).any(1).sum()
    )
    triples = tables.relations[first_relation : first_relation + related] - (first, first, 1)
    return {
        "image_id": size["image_id"],
        "coco_image_id": size.get("coco_id"),
        "file_name": place,
        "width": width,
        "height": height,
        "segments_info": [
            {"id": n + 1, "category_id": label - 1, "isthing": 1, "area": area}
            for n, (label, area) in enumerate(
                zip(tables.labels[first : first + count].tolist(), _areas(inside), strict=True)
            )
        ],
        "annotations": [{"bbox": box, "bbox_mode": 0} for box in inside.tolist()],
        "relations": triples.tolist(),
    }


def _areas(boxes: np.ndarray) -> list[int]:
    return np.floor((boxes[:, 2:] - boxes[:, :2]).prod(1)).astype(int).tolist()


def _places(root: Path, sizes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each image's path below the root: the two halves of the download may lie apart, or together."""
    folders = [name for name in FOLDERS if (root / name).is_dir()]
    names = [f"{str(size['image_id'])[:40]}.jpg" for size in sizes]
    if len(folders) > 1:
        return [f"{next((f for f in folders if (root / f / n).is_file()), folders[0])}/{n}" for n in names]
    return [f"{folders[0]}/{name}" for name in names] if folders else names


def _quirks(source: Path, tables: Tables, cut: Counter[str]) -> list[str]:
    """Counts of what VG150 is known for, in one sentence; nothing where there is none."""
    subject, target, _ = tables.relations.T
    pairs = np.unique(tables.relations[:, :2], axis=0)
    triples = np.unique(tables.relations, axis=0)
    counts = [
        (len(tables.relations) - len(triples), "copies of a relation"),
        (int((subject == target).sum()), "relations of a box with itself"),
        (len(triples) - len(pairs), "further predicates of a pair"),
        (int((tables.images[0] < 0).sum()), "images without a box"),
        (int((tables.images[2] < 0).sum()), "images without a relation"),
        *((count, what) for what, count in cut.items()),
    ]
    there = [f"{count} {what}" for count, what in counts if count]
    return [f"{source}: {', '.join(there)} ({DOCS})"] if there else []
