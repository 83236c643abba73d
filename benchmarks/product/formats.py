"""Generated annotation of full size in the field's formats; no image goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
from pycocotools import mask as coco

from spade.core.files import write_bytes, write_json
from spade.data.split_lists import official_list
from spade.structures.vocabulary import psg_lists

VG_BOXES, VG_RELATIONS = 10.6, 5.8  # an image, as VG150's tables have them
PSG_SEGMENTS, PSG_RELATIONS = 11.0, 5.6
SHAPES = 64  # masks are drawn from so many


def write_vg150(folder: Path, images: int, seed: int = 0) -> None:
    """VG150 in the true layout: both scales, attributes, 150 objects and 50 predicates."""
    rng = np.random.default_rng(seed)
    lists = official_list("vg150_ovsgtr_splits")
    objects, predicates = lists["vg150_objects"][1:], lists["vg150_predicates"][1:]
    size = rng.integers(300, 1025, (images, 2))
    boxes = rng.poisson(VG_BOXES, images)
    relations = np.where(boxes > 0, rng.poisson(VG_RELATIONS, images), 0)
    first_box, first_relation = np.cumsum(boxes) - boxes, np.cumsum(relations) - relations
    owner, related = np.repeat(np.arange(images), boxes), np.repeat(np.arange(images), relations)
    room = (1024 * size / size.max(1, keepdims=True))[owner]
    sides = np.maximum((rng.uniform(0.03, 0.9, room.shape) * room).astype(int), 2)
    corner = (rng.uniform(0, 1, room.shape) * (room - sides)).astype(int)
    table = np.concatenate([corner + sides // 2, sides], axis=1).astype(np.int32)
    ends = first_box[related][:, None] + (rng.uniform(0, 1, (len(related), 2)) * boxes[related][:, None]).astype(int)
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "VG-SGG-with-attri.h5", "w") as file:
        file["boxes_1024"], file["boxes_512"] = table, table // 2
        file["labels"] = rng.integers(1, len(objects) + 1, (len(table), 1))
        file["attributes"], file["active_object_mask"] = np.zeros((len(table), 10), int), np.ones((len(table), 1), bool)
        file["relationships"] = ends.astype(np.int32)
        file["predicates"] = rng.integers(1, len(predicates) + 1, (len(ends), 1))
        for name, first, count in (("box", first_box, boxes), ("rel", first_relation, relations)):
            there = count > 0
            file[f"img_to_first_{name}"] = np.where(there, first, -1).astype(np.int32)
            file[f"img_to_last_{name}"] = np.where(there, first + count - 1, -1).astype(np.int32)
        file["split"] = np.where(np.arange(images) % 10 < 7, 0, 2).astype(np.int32)
    names = {"label_to_idx": objects, "predicate_to_idx": predicates}
    write_json(
        folder / "VG-SGG-dicts-with-attri.json",
        {key: {name: n + 1 for n, name in enumerate(values)} for key, values in names.items()},
    )
    sizes = [
        {"image_id": n + 5000, "width": w, "height": h, "coco_id": None, "flickr_id": None, "url": ""}
        for n, (w, h) in enumerate(size.tolist())
    ]
    write_json(folder / "image_data.json", sizes)


def write_coco(path: Path, images: int, seed: int = 0) -> None:
    """COCO with masks and relations, PSG's lists and size: one file without a split."""
    rng = np.random.default_rng(seed)
    lists = psg_lists()
    classes, predicates = lists["thing_classes"] + lists["stuff_classes"], lists["predicate_classes"]
    shapes = [_shape(rng) for _ in range(SHAPES)]
    rows: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "rel_annotations": []}
    for number in range(images):
        rows["images"].append({"id": number, "file_name": f"{number:012d}.jpg", "width": 640, "height": 480})
        first, count = len(rows["annotations"]), max(2, int(rng.poisson(PSG_SEGMENTS)))
        for place in range(count):
            box, area, mask = shapes[int(rng.integers(SHAPES))]
            category = int(rng.integers(len(classes)))
            rows["annotations"].append(
                {"id": first + place, "image_id": number, "category_id": category, "bbox": box, "area": area,
                 "iscrowd": 0, "segmentation": mask}
            )  # fmt: skip
        for _ in range(int(rng.poisson(PSG_RELATIONS))):
            ends, predicate = rng.integers(0, count, 2) + first, int(rng.integers(len(predicates)))
            rows["rel_annotations"].append(
                {"id": len(rows["rel_annotations"]), "image_id": number, "subject_id": int(ends[0]),
                 "object_id": int(ends[1]), "predicate_id": predicate}
            )  # fmt: skip
    categories = [{"id": n, "name": name, "supercategory": "none"} for n, name in enumerate(classes)]
    named = [{"id": n, "name": name} for n, name in enumerate(predicates)]
    write_bytes(path, msgspec.json.encode(rows | {"categories": categories, "rel_categories": named}))


def _shape(rng: np.random.Generator) -> tuple[list[float], int, dict[str, Any]]:
    """An ellipse in an image of 640 x 480 as box, area and run lengths."""
    y, x = np.mgrid[:480, :640]
    centre, radius = rng.uniform((80, 80), (560, 400)), rng.uniform(10, 75, 2)
    code = coco.encode(
        np.asfortranarray(
            (((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1).astype(np.uint8)
        )
    )
    return [float(v) for v in coco.toBbox(code)], int(coco.area(code)), code | {"counts": code["counts"].decode()}
