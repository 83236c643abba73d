"""What of a scene is annotated: segments that show, and the relations that people would speak of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spade.structures.panoptic_png import spread_id
from spade.world.context import needs_context
from spade.world.drawing import draw
from spade.world.layout import STUFF, THINGS, Scene, Thing
from spade.world.regions import Node, nodes_of
from spade.world.rules import PREDICATES, relations
from spade.world.situations import sample_scene

CLASSES = THINGS + STUFF
MIN_PIXELS = 12  # at 128 x 128; a segment that shows less is not annotated
MIN_RELATIONS, MAX_RELATIONS = 3, 12
MIN_SEGMENTS, MAX_SEGMENTS = 3, 9
ATTEMPTS = 30
TELLING = 0.74  # salience from which a relation is annotated even if three others are


@dataclass(frozen=True)
class WorldSample:
    """A scene with its image and its annotation.

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
    rated = [
        (_salience(nodes, triple), triple) for triple in relations(scene) if triple[0] in place and triple[2] in place
    ]
    rated.sort(key=lambda pair: -pair[0])
    telling = sum(salience >= TELLING for salience, _ in rated)
    triples = [triple for _, triple in rated[: max(MIN_RELATIONS, min(MAX_RELATIONS, telling))]]
    annotated = tuple((place[s], place[o], PREDICATES.index(p)) for s, p, o in triples)
    context = tuple(needs_context(scene, triple) for triple in triples)
    return WorldSample(scene, drawing.image, ids, tuple(segments), annotated, context, tuple(place))


# What people speak of first; position and ground come last.
_TELLING = {
    **dict.fromkeys(("riding", "feeding", "kicking", "chasing", "playing with", "talking to", "crossing"), 1.0),
    "lying on": 0.9,
    "driving on": 0.8,
    "carrying": 0.7,
    **dict.fromkeys(("flying over", "parked on"), 0.6),
    "walking on": 0.5,
    "running on": 0.5,
    "sitting on": 0.45,
    "holding": 0.42,
    "driving": 0.42,
    "standing on": 0.45,
    "on": 0.42,
    "in front of": 0.41,
    "looking at": 0.37,
    "beside": 0.3,
}


def _salience(nodes: tuple[Node, ...], triple: tuple[int, str, int]) -> float:
    """How much a relation catches the eye: what is done before where it is, near things before far ones."""
    subject, predicate, target = (nodes[triple[0]], triple[1], nodes[triple[2]])
    near = sum(node.depth if isinstance(node, Thing) else 0.4 for node in (subject, target)) / 2
    telling = _TELLING.get(predicate, 0.75 if isinstance(subject, Thing) else 0.05)
    if predicate == "on" and not isinstance(target, Thing):
        telling = 0.2  # a ball on the ground
    return telling + 0.5 * near
