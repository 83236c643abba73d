"""Readers of data sets: PSG's form, COCO with relations, Visual Genome's three files (see readers.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spade.data.psg_reader import load_psg
from spade.data.readers import load_dataset
from spade.data.samples import annotated_regions
from spade.export.coco import coco
from spade.segmentation.given import GivenSegments
from spade.structures.panoptic_png import write_panoptic
from tests.export.graphs import graph


@dataclass(frozen=True)
class Reader:
    """``seed`` writes what it needs into a folder and gives the name of the file to damage; ``read`` reads it all."""

    seed: Callable[[Path], str]
    read: Callable[[Path], Any]


def psg(folder: Path) -> str:
    """A small data set in PSG's form."""
    ids = np.zeros((4, 8), np.uint32)
    ids[:, :4], ids[:, 4:] = 5, 6
    record = {
        "image_id": "1", "file_name": "1.jpg", "pan_seg_file_name": "1.png", "width": 8, "height": 4,
        "segments_info": [{"id": 5, "category_id": 0, "area": 16, "isthing": 1},
                          {"id": 6, "category_id": 1, "area": 16, "iscrowd": 0}],
        "annotations": [{"bbox": [0, 0, 4, 4], "bbox_mode": 0, "category_id": 0}, {"bbox": [4, 0, 8, 4]}],
        "relations": [[0, 1, 0]],
    }  # fmt: skip
    lists = {"thing_classes": ["a", "b"], "stuff_classes": [], "predicate_classes": ["p", "q"], "test_image_ids": ["1"]}
    (folder / "psg.json").write_text(json.dumps({"data": [record], **lists, "novel": {"objects": ["b"]}}))
    for name in ("1.png", "m.png"):
        write_panoptic(folder / name, ids)
    return "psg.json"


def _read_psg(path: Path) -> None:
    dataset = load_psg(path)
    dataset.for_training()
    GivenSegments(path).of("1.jpg", (8, 4))


def _coco(folder: Path) -> str:
    document = coco([graph(("dog", "sky"), file_name="a.jpg")])
    document["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    (folder / "coco.json").write_text(json.dumps(document))
    return "coco.json"


def _vg(folder: Path) -> str:
    with h5py.File(folder / "VG-SGG-with-attri.h5", "w") as file:
        file["boxes_1024"] = np.array([[100, 100, 50, 60], [300, 200, 80, 80]], np.int32)
        file["labels"], file["predicates"] = np.array([[1], [2]]), np.array([[1]])
        file["relationships"] = np.array([[0, 1]], np.int32)
        columns = {"img_to_first_box": 0, "img_to_last_box": 1, "img_to_first_rel": 0, "img_to_last_rel": 0, "split": 2}
        for name, value in columns.items():
            file[name] = np.array([value], np.int32)
    dicts = {"label_to_idx": {"a": 1, "b": 2}, "predicate_to_idx": {"p": 1}}
    (folder / "VG-SGG-dicts-with-attri.json").write_text(json.dumps(dicts))
    (folder / "image_data.json").write_text(json.dumps([{"image_id": 7, "width": 500, "height": 400}]))
    return "VG-SGG-with-attri.h5"


def _vg_sizes(folder: Path) -> str:
    _vg(folder)
    return "image_data.json"


def _vg_names(folder: Path) -> str:
    _vg(folder)
    return "VG-SGG-dicts-with-attri.json"


def _read_vg(path: Path) -> None:
    dataset = load_dataset(path.parent)
    dataset.for_training()
    [annotated_regions(dataset, record).masks() for record in dataset.records]


def _related_coco(folder: Path) -> str:
    document = coco([graph(("dog", "sky"), file_name="a.jpg")])
    document["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    document["annotations"][1]["segmentation"] = [[1, 1, 5, 1, 5, 5]]
    (folder / "train.json").write_text(json.dumps(document))
    return "train.json"


def _read_related_coco(path: Path) -> None:
    dataset = load_dataset(path)
    [annotated_regions(dataset, record) for record in dataset.records]


DATASETS = {
    "psg.json": Reader(psg, _read_psg),
    "coco with relations": Reader(_related_coco, _read_related_coco),
    "vg h5": Reader(_vg, _read_vg),
    "vg image data": Reader(_vg_sizes, _read_vg),
    "vg names": Reader(_vg_names, _read_vg),
    "coco": Reader(_coco, lambda path: GivenSegments(path).of("a.jpg", (40, 30))),
}
