"""Scenes as a PSG-format data set: images, panoptic pngs, psg.json."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from spade.core.digests import digests
from spade.core.errors import SpadeError, SpadeWarning
from spade.core.files import canonical_hash, write_bytes, write_json
from spade.core.text import counted
from spade.structures.panoptic_png import png_bytes, write_panoptic
from spade.world.annotation import WorldSample, make_sample
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

VERSION = 2
CONTENTS = ".contents.json"  # beside psg.json
SETTINGS = ("closed", "ovr", "ovdr")


@cache
def novel_names(setting: str) -> tuple[frozenset[str], frozenset[str]]:
    """(objects, predicates) that training annotations of this setting leave out."""
    lists = json.loads(resources.files("spade").joinpath("assets/lists/world.json").read_text("utf-8"))
    objects = frozenset(lists["novel_objects"]) if setting == "ovdr" else frozenset()
    return objects, frozenset(lists["novel_predicates"]) if setting != "closed" else frozenset()


def trained(sample: WorldSample, setting: str) -> WorldSample:
    """A sample as training annotations of this setting have it: novel things void, novel predicates not said."""
    objects, predicates = novel_names(setting)
    shown = [i for i, label in enumerate(sample.labels) if label not in objects]
    place = {old: new for new, old in enumerate(shown)}
    relations = [
        ((place[s], place[o], p), context)
        for (s, o, p), context in zip(sample.relations, sample.needs_context, strict=True)
        if s in place and o in place and PREDICATES[p] not in predicates
    ]
    segments = tuple(sample.segments[i] for i in shown)
    ids = np.where(np.isin(sample.ids, [identity for identity, *_ in segments]), sample.ids, 0).astype(np.uint32)
    return replace(
        sample,
        ids=ids,
        segments=segments,
        relations=tuple(triple for triple, _ in relations),
        needs_context=tuple(context for _, context in relations),
        node_numbers=tuple(sample.node_numbers[i] for i in shown),
    )


def psg_record(sample: WorldSample, name: str, image_id: str) -> dict:
    """A sample as one record of psg.json."""
    return {
        "file_name": f"images/{name}.png",
        "pan_seg_file_name": f"panoptic/{name}.png",
        "height": sample.scene.height,
        "width": sample.scene.width,
        "image_id": image_id,
        "coco_image_id": image_id,
        "segments_info": [
            {
                "id": identity,
                "category_id": category,
                "iscrowd": 0,
                "isthing": int(category < len(THINGS)),
                "area": area,
            }
            for identity, category, area, _ in sample.segments
        ],
        "annotations": [
            {"bbox": list(map(float, box)), "bbox_mode": 0, "category_id": category}
            for _, category, _, box in sample.segments
        ],
        "relations": [list(triple) for triple in sample.relations],
        "needs_context": list(sample.needs_context),
    }


def write_world(
    out: Path,
    images: int,
    size: tuple[int, int],
    seed: int,
    setting: str,
    force: bool,
    progress: Callable[[range], Iterable[int]],
) -> bool:
    """Write a world of ``images`` scenes of ``size`` (width, height) into the folder ``out``; every fifth is a test
    image.

    Test images are annotated in full, training images as the ``setting`` has it.

    psg.json comes last, so it stands only beside a whole data set. Returns False where the very same world was
    there already. Raises SpadeError where ``out`` holds something else.
    """
    width, height = size
    made = {
        "world_version": VERSION,
        "images": images,
        "width": width,
        "height": height,
        "seed": seed,
        "setting": setting,
    }
    index_file, begun = out / "psg.json", out / ".world.json"
    if not all(place.is_dir() for place in (out, *out.parents) if place.exists()):
        raise SpadeError(f"{out}: a file stands where a folder is needed; name another folder.")
    if index_file.exists() and not force:
        if _made_of(index_file).get("info") != made:
            raise SpadeError(
                f"{index_file}: another data set is there; name another folder or add `force` to replace it."
            )
        lost = [path for path in _files(out, images) if not path.is_file()]
        if not lost and _written(out) in (None, _contents(out, images)):  # worlds of before have none
            return False
        force = True
        what = f"{lost[0]}: is gone ({counted(len(lost), 'file')} in all)" if lost else f"{out}: its files were altered"
        warnings.warn(f"{what}; the data set is made anew.", SpadeWarning, stacklevel=2)
    if out.is_dir() and any(out.iterdir()) and not force and _made_of(begun) != made:
        raise SpadeError(f"{out}: holds other files; name a new folder or add `force` to write among them.")
    index_file.unlink(missing_ok=True)
    write_json(begun, made)
    records = []
    for index in progress(range(images)):
        sample = make_sample(seed, index, width, height)
        if index % 5 != 4:
            sample = trained(sample, setting)
        name = f"{index:06d}"
        write_bytes(out / "images" / f"{name}.png", png_bytes(sample.image))
        write_panoptic(out / "panoptic" / f"{name}.png", sample.ids)
        records.append(psg_record(sample, name, str(index)))
    test = [record["image_id"] for record in records if int(record["image_id"]) % 5 == 4]
    document = {"info": made, "data": records, "thing_classes": list(THINGS), "stuff_classes": list(STUFF)}
    if setting != "closed":
        objects, predicates = novel_names(setting)
        document["novel"] = {"objects": sorted(objects), "predicates": sorted(predicates)}
    write_json(index_file, document | {"predicate_classes": list(PREDICATES), "test_image_ids": test})
    write_json(out / CONTENTS, {"contents": _contents(out, images)})
    begun.unlink()
    return True


def _files(out: Path, images: int) -> list[Path]:
    return [out / kind / f"{index:06d}.png" for kind in ("images", "panoptic") for index in range(images)]


def _contents(out: Path, images: int) -> str:
    """A hash of a world's annotation, and of all its images and maps."""
    return canonical_hash(digests([out / "psg.json", *_files(out, images)]))


def _written(out: Path) -> Any:
    """That hash as it was when the world was written; None where it does not say it."""
    return _made_of(out / CONTENTS).get("contents")


def _made_of(path: Path) -> dict:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
