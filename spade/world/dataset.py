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
from spade.world.layout import STUFF, THINGS, Scene, Thing
from spade.world.rules import PREDICATES, needs_context, nodes_of, relations
from spade.world.situations import sample_scene

VERSION = 2
CLASSES = THINGS + STUFF
MIN_PIXELS = 12  # at 128 x 128; a segment that shows less is not annotated
MIN_RELATIONS, MAX_RELATIONS = 3, 12
MIN_SEGMENTS, MAX_SEGMENTS = 3, 9
ATTEMPTS = 30
TELLING = 0.74  # salience from which a relation is annotated even if three others are


@dataclass(frozen=True)
class WorldSample:
    """A scene with its picture and its annotation.

    ``ids`` (H, W) uint32 panoptic ids; ``segments`` one (id, class index, area, box xyxy exclusive) each;
    ``relations`` (subject index, object index, predicate index) into ``segments`` and ``PREDICATES``; ``needs_context``
    says of each whether it changes or vanishes when some third segment is taken away.
    """

    scene: Scene
    image: np.ndarray
    ids: np.ndarray
    segments: tuple[tuple[int, int, int, tuple[int, int, int, int]], ...]
    relations: tuple[tuple[int, int, int], ...]
    needs_context: tuple[bool, ...]
    node_numbers: tuple[int, ...]  # of each segment, as in ``nodes_of(scene)``

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
    """The index-th scene of a world; the same for one seed, version and size on every machine.

    Scenes with too few or too many segments, or with too little to tell, are drawn again.
    """
    for attempt in range(ATTEMPTS):
        sample = _sample(sample_scene(np.random.default_rng([seed, index, attempt]), width, height))
        if len(sample.relations) >= MIN_RELATIONS and MIN_SEGMENTS <= len(sample.segments) <= MAX_SEGMENTS:
            break
    return sample


def _sample(scene: Scene) -> WorldSample:
    """A scene drawn and annotated."""
    drawing = draw(scene)
    nodes = nodes_of(scene)
    ids = np.zeros(drawing.segments.shape, np.uint32)
    segments: list[tuple[int, int, int, tuple[int, int, int, int]]] = []
    place: dict[int, int] = {}
    for number, node in enumerate(nodes):
        mask = drawing.segments == number + 1
        area = int(mask.sum())
        if area < max(4, MIN_PIXELS * scene.width * scene.height // 128**2):
            continue
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        identity = spread_id(number)
        ids[mask] = identity
        place[number] = len(segments)
        box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        segments.append((identity, CLASSES.index(node.label), area, box))
    visible = [(s, p, o) for s, p, o in relations(scene) if s in place and o in place]
    visible.sort(key=lambda triple: -_salience(scene, triple))
    telling = sum(_salience(scene, triple) >= TELLING for triple in visible)
    told = visible[: max(MIN_RELATIONS, min(MAX_RELATIONS, telling))]
    kept = tuple((place[s], place[o], PREDICATES.index(p)) for s, p, o in told)
    context = tuple(needs_context(scene, triple) for triple in told)
    return WorldSample(scene, drawing.image, ids, tuple(segments), kept, context, tuple(place))


# What people speak of first; position and ground come last.
_TELLING = {name: 1.0 for name in ("riding", "feeding", "kicking", "chasing", "playing with", "talking to", "crossing")}
_TELLING |= {"driving": 0.5, "carrying": 0.7, "holding": 0.5, "driving on": 0.8, "flying over": 0.6, "looking at": 0.4, "sitting on": 0.5, "lying on": 0.9}
_TELLING |= {"running on": 0.54, "walking on": 0.56, "parked on": 0.6, "on": 0.42, "standing on": 0.46, "in front of": 0.41, "beside": 0.3}


def _salience(scene: Scene, triple: tuple[int, str, int]) -> float:
    """How much a relation catches the eye: what is done before where it is, near things before far ones."""
    nodes = nodes_of(scene)
    subject, predicate, target = (nodes[triple[0]], triple[1], nodes[triple[2]])
    near = sum(node.depth if isinstance(node, Thing) else 0.4 for node in (subject, target)) / 2
    telling = _TELLING.get(predicate, 0.75 if isinstance(subject, Thing) else 0.05)
    if predicate == "on" and not isinstance(target, Thing):
        telling = 0.2  # a ball on the ground
    return telling + 0.5 * near


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
        "needs_context": list(sample.needs_context),
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
