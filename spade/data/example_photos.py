"""Photographs that come with packages which are installed anyway, and segments of them that were traced by hand.

The package holds polygons alone. They are painted one over the other, in their order, as COCO-panoptic json and png.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from spade.core.errors import SpadeError
from spade.core.files import write_json, write_text
from spade.structures.panoptic_png import spread_id, write_panoptic
from spade.structures.scene_graph import Segment
from spade.structures.segment_map import measured
from spade.structures.vocabulary import known_supercategory, psg_lists

TRACED = "traced by hand, not found by a model"
SEGMENTS = "segments.json"
PHOTOS = ("portrait", "temple")


@dataclass(frozen=True)
class ExamplePhoto:
    """A photograph and its polygons: ``layers`` of (PSG's name, x, y, x, y, ... in pixels), painted in their order.
    Polygons of one name of stuff are one segment, those of things one each.
    """

    file: str
    title: str
    credit: str
    source: Path | None  # None where the package that has it is not installed
    size: tuple[int, int]
    layers: list[tuple[str, list[int]]]

    def segments(self) -> tuple[np.ndarray, tuple[Segment, ...]]:
        """The panoptic map (H, W), and its segments: things, then stuff, in the order of the layers."""
        lists = psg_lists()
        things, official = set(lists["thing_classes"]), lists["thing_classes"] + lists["stuff_classes"]
        # A segment is a name with the number of its layer, or, for stuff, with none.
        keys = [(name, number if name in things else -1) for number, (name, _) in enumerate(self.layers)]
        order = sorted(dict.fromkeys(keys), key=lambda key: key[0] not in things)
        canvas = Image.new("I", self.size)
        brush = ImageDraw.Draw(canvas)
        for key, (_, corners) in zip(keys, self.layers, strict=True):
            brush.polygon(corners, fill=order.index(key) + 1)
        numbers = np.asarray(canvas).astype(np.int64)
        names = [name for name, _ in order]
        found = [
            Segment(
                spread_id(n), name, official.index(name), name in lists["thing_classes"], 1.0, (0, 0, 0, 0), 0,
                known_supercategory(name),
            )
            for n, name in enumerate(names)
        ]  # fmt: skip
        ids = np.array([0, *(segment.id for segment in found)], np.uint32)[numbers]
        return ids, measured(found, numbers)


@cache
def example_photos() -> tuple[ExamplePhoto, ...]:
    """All of them, with where their images lie."""
    photos = []
    for name in PHOTOS:
        text = resources.files("spade").joinpath(f"assets/examples/{name}.json").read_text("utf-8")
        data: dict[str, Any] = json.loads(text)
        package, place = data["from"]
        found = find_spec(package)
        folders = found.submodule_search_locations if found is not None else None
        source = Path(folders[0]) / place if folders else None
        layers = [(label, corners) for label, corners in data["layers"]]
        known = source if source is not None and source.is_file() else None
        photos.append(ExamplePhoto(data["file"], data["title"], data["credit"], known, tuple(data["size"]), layers))
    return tuple(photos)


def write_examples(folder: Path) -> list[str]:
    """Write the photographs, the segments of all as one COCO-panoptic file with its pngs, and whose they are. Returns
    the photographs' names. Raises SpadeError where none is installed, or where a file of another kind is in the way.
    """
    photos = [photo for photo in example_photos() if photo.source is not None]
    if not photos:
        raise SpadeError("no example photograph is there: matplotlib is installed without its sample data.")
    _refuse_others(folder, photos)
    images, annotations, used = [], [], set()
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos, start=1):
        assert photo.source is not None
        shutil.copyfile(photo.source, folder / photo.file)
        ids, segments = photo.segments()
        png = f"{Path(photo.file).stem}.png"
        write_panoptic(folder / "segments" / png, ids)
        images.append({"id": number, "file_name": photo.file, "width": photo.size[0], "height": photo.size[1]})
        rows = []
        for segment in segments:
            used.add((segment.category_id, segment.label, segment.is_thing, segment.supercategory))
            x1, y1, x2, y2 = segment.bbox
            facts = {"id": segment.id, "category_id": segment.category_id, "area": segment.area, "iscrowd": 0}
            rows.append(facts | {"bbox": [x1, y1, x2 - x1, y2 - y1]})
        annotations.append({"image_id": number, "file_name": png, "segments_info": rows})
    categories = [
        {"id": number, "name": name, "isthing": int(is_thing), "supercategory": group or "none"}
        for number, name, is_thing, group in sorted(used)
    ]
    document = {"info": {"description": f"segments {TRACED}"}, "images": images, "annotations": annotations}
    write_json(folder / SEGMENTS, document | {"categories": categories})
    lines = [f"{photo.file}: {photo.title}\n{photo.credit}\n" for photo in photos]
    write_text(folder / "CREDITS.txt", "\n".join([*lines, f"The segments in {SEGMENTS} were {TRACED}.\n"]))
    return [photo.file for photo in photos]


def _refuse_others(folder: Path, photos: list[ExamplePhoto]) -> None:
    """Raise SpadeError where a file in the folder has a name of ours and is none of ours."""
    if folder.exists() and not folder.is_dir():
        raise SpadeError(f"{folder}: is a file; name a folder.")
    for photo in photos:
        path = folder / photo.file
        assert photo.source is not None
        if path.exists() and path.read_bytes() != photo.source.read_bytes():
            raise SpadeError(f"{path}: is there and is another image, which would be replaced; name another folder.")
    path = folder / SEGMENTS
    if path.exists() and f"segments {TRACED}" not in path.read_text("utf-8", "replace"):
        raise SpadeError(f"{path}: is there and is another file, which would be replaced; name another folder.")
