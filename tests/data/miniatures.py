"""The embedded world written as the field's other formats, with the quirks that their real files are known for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from spade.data.psg import Box, Dataset, Record
from spade.data.psg_reader import load_psg
from spade.data.samples import annotated_ids

SCALE = 1024  # of an image's longer side


def write_vg(world: Path, out: Path, first_id: int = 100_000, quirks: bool = True) -> Dataset:
    """A data set in PSG's form as VG150: true layout, pictures as jpg where there are any. Returns what it was.

    Quirks, where they are asked for: the four corrupt images in image_data.json alone; an image without boxes (the
    last); a copy of the first relation, one of a box with itself and a second predicate of the first pair, in the first
    image that has relations; the second image is cut off, the third has another size in image_data.json, the fourth is
    of the validation split, and the first box of the fifth leaves its image.
    """
    dataset = load_psg(world)
    (out / "VG_100K").mkdir(parents=True)
    labels, boxes, triples, firsts, splits = [], [], [], [], []
    sizes = [{"image_id": number, "width": 500, "height": 400} for number in (1592, 1722)]
    for place, record in enumerate(dataset.records):
        number = first_id + int(record.image_id)
        less = 8 if quirks and place == 2 else 0
        sizes.append({"image_id": number, "width": record.width - less, "height": record.height, "coco_id": None})
        picture = out / "VG_100K" / f"{number}.jpg"
        if dataset.image_path(record).is_file():
            Image.open(dataset.image_path(record)).save(picture, quality=95)
            if quirks and place == 1:
                picture.write_bytes(picture.read_bytes()[:-900])
        segments, related = record.segments, [*record.relations]
        if not quirks:
            pass
        elif place == len(dataset.records) - 1:
            segments, related = (), []
        elif related and not triples:
            (s, o, p), count = related[0], len(dataset.predicates)
            related += [(s, o, p), (0, 0, p), (s, o, (p + 1) % count)]
        first = len(boxes), len(triples)
        labels += [segment.category + 1 for segment in segments]
        stretch = SCALE / max(record.width, record.height)
        boxes += [_centred(np.array(segment.bbox) * stretch) for segment in segments]
        if quirks and place == 4:
            boxes[first[0]][0] += 2 * SCALE
            boxes[first[0]][2] += 4 * SCALE
        triples += [(s + first[0], o + first[0], p + 1) for s, o, p in related]
        last = len(boxes) - 1, len(triples) - 1
        rows = [(f, n) if n >= f else (-1, -1) for f, n in zip(first, last, strict=True)]
        firsts.append([*rows[0], *rows[1]])
        splits.append(2 if record.image_id in dataset.test_ids else int(quirks and place == 3))
    sizes += [{"image_id": number, "width": 500, "height": 400} for number in (4616, 4617)]
    columns = np.array(firsts, np.int32).T
    with h5py.File(out / "VG-SGG-with-attri.h5", "w") as file:
        for other in (1024, 512):
            file[f"boxes_{other}"] = (np.array(boxes) * other / SCALE).astype(np.int32)
        file["labels"] = np.array(labels, np.int64)[:, None]
        file["attributes"] = np.zeros((len(boxes), 10), np.int64)
        file["active_object_mask"] = np.ones((len(boxes), 1), bool)
        file["relationships"] = np.array(triples, np.int32)[:, :2]
        file["predicates"] = np.array(triples, np.int64)[:, 2:]
        for name, column in zip(("first_box", "last_box", "first_rel", "last_rel"), columns, strict=True):
            file[f"img_to_{name}"] = column
        file["split"] = np.array(splits, np.int32)
    names = {"label_to_idx": dataset.classes, "predicate_to_idx": dataset.predicates}
    dicts = {key: {name: n + 1 for n, name in enumerate(values)} for key, values in names.items()}
    (out / "VG-SGG-dicts-with-attri.json").write_text(json.dumps(dicts))
    (out / "image_data.json").write_text(json.dumps(sizes))
    return dataset


def write_coco(world: Path, out: Path, masks: bool = True) -> Dataset:
    """A world as COCO with relations, a json for each split; categories in an order of their own, ids that count over
    the whole file, images as they are. Returns the world as PSG has it.
    """
    dataset = load_psg(world)
    (out / "images").mkdir(parents=True)
    if (world / "images").is_dir():
        shutil.copytree(world / "images", out / "images", dirs_exist_ok=True)
    order = [*range(len(dataset.things), len(dataset.classes)), *range(len(dataset.things))]
    categories = [
        {"id": 5 + c, "name": dataset.classes[c], "isthing": int(c < len(dataset.things)), "supercategory": "none"}
        for c in order
    ]
    for split in ("train", "test"):
        document = {"images": [], "annotations": [], "rel_annotations": [], "categories": categories}
        document["rel_categories"] = [{"id": n, "name": name} for n, name in enumerate(dataset.predicates)]
        for record in dataset.split(split):
            number, first = int(record.image_id), len(document["annotations"])
            name = Path(record.file_name).name
            document["images"].append({"id": number, "file_name": name, "width": record.width, "height": record.height})
            ids = annotated_ids(dataset, record)
            for place, segment in enumerate(record.segments):
                x1, y1, x2, y2 = segment.bbox
                document["annotations"].append(
                    {
                        "id": first + place,
                        "image_id": number,
                        "category_id": 5 + segment.category,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": segment.area,
                        "iscrowd": int(segment.is_crowd),
                        "segmentation": _run_lengths(ids == segment.id) if masks else [],
                    }
                )
            for subject, target, predicate in record.relations:
                document["rel_annotations"].append(
                    {
                        "id": len(document["rel_annotations"]),
                        "image_id": number,
                        "subject_id": first + subject,
                        "object_id": first + target,
                        "predicate_id": predicate,
                    }
                )
        (out / f"{split}.json").write_text(json.dumps(document))
    return dataset


def boxes(record: Record) -> list[Box]:
    """Of a record's segments."""
    return [segment.bbox for segment in record.segments]


def _centred(box: np.ndarray) -> list[int]:
    x1, y1, x2, y2 = box
    return [round((x1 + x2) / 2), round((y1 + y2) / 2), round(x2 - x1), round(y2 - y1)]


def _run_lengths(mask: np.ndarray) -> dict:
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}
