"""Scenes as a PSG-format data set: pictures, panoptic pngs, psg.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spade.data.codecs import png_bytes, spread_id, write_panoptic
from spade.errors import SpadeError
from spade.files import write_bytes, write_json
from spade.world.drawing import draw
from spade.world.layout import STUFF, THINGS, Scene, Thing, sample_scene
from spade.world.rules import PREDICATES, nodes_of, relations

VERSION = 1
CLASSES = THINGS + STUFF
MIN_PIXELS = 12  # at 128 x 128; a segment that shows less is not annotated
MAX_RELATIONS = 8


@dataclass(frozen=True)
class WorldSample:
    """A scene with its picture and its annotation.

    ``ids`` (H, W) uint32 panoptic ids; ``segments`` one (id, class index, area, box xyxy exclusive) each;
    ``relations`` (subject index, object index, predicate index) into ``segments`` and ``PREDICATES``.
    """

    scene: Scene
    image: np.ndarray
    ids: np.ndarray
    segments: tuple[tuple[int, int, int, tuple[int, int, int, int]], ...]
    relations: tuple[tuple[int, int, int], ...]

    @property
    def labels(self) -> list[str]:
        """The label of each segment."""
        return [CLASSES[category] for _, category, _, _ in self.segments]

    @property
    def triples(self) -> list[tuple[str, str, str]]:
        """Relations as (subject label, predicate, object label)."""
        labels = self.labels
        return [(labels[s], PREDICATES[p], labels[o]) for s, o, p in self.relations]


def make_sample(seed: int, index: int, width: int = 128, height: int = 128) -> WorldSample:
    """The index-th scene of a world; the same for one seed, version and size on every machine."""
    scene = sample_scene(np.random.default_rng([seed, index]), width, height)
    drawing = draw(scene)
    nodes = nodes_of(scene)
    ids = np.zeros(drawing.segments.shape, np.uint32)
    segments: list[tuple[int, int, int, tuple[int, int, int, int]]] = []
    place: dict[int, int] = {}
    for number, node in enumerate(nodes):
        mask = drawing.segments == number + 1
        area = int(mask.sum())
        if area < max(4, MIN_PIXELS * width * height // 128**2):
            continue
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        identity = spread_id(number)
        ids[mask] = identity
        place[number] = len(segments)
        box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        segments.append((identity, CLASSES.index(node.label), area, box))
    visible = [(s, p, o) for s, p, o in relations(scene) if s in place and o in place]
    visible.sort(key=lambda triple: -_salience(scene, triple))
    kept = tuple((place[s], place[o], PREDICATES.index(p)) for s, p, o in visible[:MAX_RELATIONS])
    return WorldSample(scene, drawing.image, ids, tuple(segments), kept)


def _salience(scene: Scene, triple: tuple[int, str, int]) -> float:
    """How much a relation catches the eye: near things first, then things on stuff, stuff on stuff last."""
    nodes = nodes_of(scene)
    subject, _, target = (nodes[triple[0]], triple[1], nodes[triple[2]])
    return sum(node.depth if isinstance(node, Thing) else 0.2 for node in (subject, target))


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
            {"id": identity, "category_id": category, "iscrowd": 0, "isthing": int(category < len(THINGS)), "area": area}
            for identity, category, area, _ in sample.segments
        ],
        "annotations": [
            {"bbox": list(map(float, box)), "bbox_mode": 0, "category_id": category} for _, category, _, box in sample.segments
        ],
        "relations": [list(triple) for triple in sample.relations],
    }


def write_world(
    out: Path, images: int, width: int, height: int, seed: int, force: bool, progress: Callable[[range], Iterable[int]]
) -> bool:
    """Write a world of ``images`` scenes into the folder ``out``; every fifth from the end is a test image.

    psg.json comes last, so it stands only beside a whole data set. Returns False where the very same world was
    there already. Raises SpadeError where ``out`` holds something else.
    """
    made = {"world_version": VERSION, "images": images, "width": width, "height": height, "seed": seed}
    index_file, begun = out / "psg.json", out / ".world.json"
    if not all(place.is_dir() for place in (out, *out.parents) if place.exists()):
        raise SpadeError(f"{out}: a file stands where a folder is needed; name another folder.")
    if index_file.exists() and not force:
        if _made_of(index_file).get("info") == made:
            return False
        raise SpadeError(f"{index_file}: another data set is there; name another folder or add --force to replace it.")
    if out.is_dir() and any(out.iterdir()) and not force and _made_of(begun) != made:
        raise SpadeError(f"{out}: holds other files; name a new folder or add --force to write among them.")
    index_file.unlink(missing_ok=True)
    write_json(begun, made)
    records = []
    for index in progress(range(images)):
        sample = make_sample(seed, index, width, height)
        name = f"{index:06d}"
        write_bytes(out / "images" / f"{name}.png", png_bytes(sample.image))
        write_panoptic(out / "panoptic" / f"{name}.png", sample.ids)
        records.append(psg_record(sample, name, str(index)))
    test = [record["image_id"] for record in records if int(record["image_id"]) % 5 == 4]
    document = {"info": made, "data": records, "thing_classes": list(THINGS), "stuff_classes": list(STUFF)}
    write_json(index_file, document | {"predicate_classes": list(PREDICATES), "test_image_ids": test})
    begun.unlink()
    return True


def _made_of(path: Path) -> dict:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
