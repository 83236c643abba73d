"""The rules of the world: which predicate holds between which two segments, as functions of the layout.

Written once: the annotation writer and the caption writer both read ``relations``. Nodes are numbered things
first (their index in ``scene.things``), then the stuff regions in the order of ``stuff_of``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spade.world.layout import Scene, Thing

PREDICATES = (
    "over",
    "in front of",
    "beside",
    "on",
    "walking on",
    "standing on",
    "lying on",
    "sitting on",
    "flying over",
    "holding",
    "looking at",
    "playing with",
    "riding",
    "parked on",
    "driving on",
)


@dataclass(frozen=True)
class Region:
    """A stuff segment. ``top`` and ``bottom`` are heights on the picture, shares from the top."""

    label: str
    top: float
    bottom: float


Node = Thing | Region


def stuff_of(scene: Scene) -> tuple[Region, ...]:
    """The stuff regions from top to bottom; two bands of one label are one region, as in panoptic maps."""
    regions = [Region("sky-other-merged", 0.0, scene.horizon)]
    if scene.mountain:
        regions.append(Region("mountain-merged", scene.horizon * 0.45, scene.horizon))
    edges: dict[str, tuple[float, float]] = {}
    start = 0.0
    for band in scene.bands:
        top = edges[band.label][0] if band.label in edges else scene.ground_y(start)
        edges[band.label] = (top, scene.ground_y(band.near_edge))
        start = band.near_edge
    return tuple(regions + [Region(label, *edge) for label, edge in edges.items()])


def nodes_of(scene: Scene) -> tuple[Node, ...]:
    """Things, then stuff regions."""
    return scene.things + stuff_of(scene)


def _ground_of(scene: Scene, thing: Thing) -> str:
    return scene.bands[scene.ground_at(thing.depth)].label


def _stands_on(pose: str) -> Callable[[Scene, Node, Node], bool]:
    """A thing in ``pose`` whose feet touch the region (when nothing else carries it)."""

    def rule(scene: Scene, subject: Node, target: Node) -> bool:
        return (
            isinstance(subject, Thing)
            and isinstance(target, Region)
            and subject.pose == pose
            and subject.on is None
            and subject.altitude == 0
            and _ground_of(scene, subject) == target.label
        )

    return rule


def _carried(pose: str) -> Callable[[Scene, Node, Node], bool]:
    """A thing in ``pose`` on top of the thing that carries it."""

    def rule(scene: Scene, subject: Node, target: Node) -> bool:
        return isinstance(subject, Thing) and subject.pose == pose and subject.on is not None and scene.things[subject.on] is target

    return rule


def sitting_on(scene: Scene, subject: Node, target: Node) -> bool:
    """Sitting on what carries it, else on the ground at its feet."""
    return _carried("sitting")(scene, subject, target) or _stands_on("sitting")(scene, subject, target)


def holding(scene: Scene, subject: Node, target: Node) -> bool:
    """The string of the target ends in the subject's hand."""
    return isinstance(subject, Thing) and subject.holds is not None and scene.things[subject.holds] is target


def playing_with(scene: Scene, subject: Node, target: Node) -> bool:
    """A dog with a ball right before its nose, at its own depth."""
    if not (isinstance(subject, Thing) and isinstance(target, Thing)):
        return False
    ahead = (target.x - subject.x) * subject.facing * scene.width / scene.unit
    return (
        subject.label == "dog"
        and target.label == "sports ball"
        and subject.pose != "lying"
        and abs(subject.depth - target.depth) < 0.1
        and 0 < ahead < 0.45 * subject.depth
    )


def flying_over(scene: Scene, subject: Node, target: Node) -> bool:
    """In the air, above the lowest region behind it: the mountain if there is one, else the farthest band."""
    if not (isinstance(subject, Thing) and isinstance(target, Region) and subject.pose == "flying"):
        return False
    below = "mountain-merged" if scene.mountain else scene.bands[0].label
    return target.label == below


def over(scene: Scene, subject: Node, target: Node) -> bool:
    """The sky over the region that meets it."""
    if not (isinstance(subject, Region) and isinstance(target, Region) and subject.label == "sky-other-merged"):
        return False
    return target.label == ("mountain-merged" if scene.mountain else scene.bands[0].label)


def looking_at(scene: Scene, subject: Node, target: Node) -> bool:
    """The first thing on the ground that the gaze of a person or dog meets, at a similar depth."""
    if not (isinstance(subject, Thing) and isinstance(target, Thing)) or subject.label not in ("person", "dog"):
        return False
    if subject.pose == "lying" or subject.on is not None or subject.holds is not None:
        return False
    seen = [
        other
        for other in scene.things
        if other is not subject
        and other.pose != "flying"
        and other.on is None
        and (other.x - subject.x) * subject.facing > 0
        and abs(other.depth - subject.depth) < 0.22
    ]
    return bool(seen) and min(seen, key=lambda other: abs(other.x - subject.x)) is target


def in_front_of(scene: Scene, subject: Node, target: Node) -> bool:
    """Nearer to the viewer, and covering a part of the target's width."""
    if not _both_on_ground(subject, target):
        return False
    assert isinstance(subject, Thing)
    assert isinstance(target, Thing)
    left, right = scene.span(subject)
    other_left, other_right = scene.span(target)
    overlap = min(right, other_right) - max(left, other_left)
    return subject.depth - target.depth > 0.08 and overlap > 0.25 * min(right - left, other_right - other_left)


def beside(scene: Scene, subject: Node, target: Node) -> bool:
    """Side by side at a similar depth with nothing between; the left one is the subject."""
    if not _both_on_ground(subject, target):
        return False
    assert isinstance(subject, Thing)
    assert isinstance(target, Thing)
    gap = scene.span(target)[0] - scene.span(subject)[1]
    near = 0.3 * max(subject.depth, target.depth)
    between = any(
        subject.x < other.x < target.x and abs(other.depth - subject.depth) < 0.15
        for other in scene.things
        if other is not subject and other is not target and other.on is None and other.pose != "flying"
    )
    return subject.x < target.x and -0.1 < gap < near and abs(subject.depth - target.depth) < 0.15 and not between


def _both_on_ground(subject: Node, target: Node) -> bool:
    return (
        isinstance(subject, Thing)
        and isinstance(target, Thing)
        and all(thing.pose != "flying" and thing.on is None for thing in (subject, target))
    )


# In order of priority: the first rule that holds names the ordered pair.
RULES: dict[str, Callable[[Scene, Node, Node], bool]] = {
    "riding": _carried("riding"),
    "sitting on": sitting_on,
    "holding": holding,
    "playing with": playing_with,
    "driving on": _stands_on("driving"),
    "parked on": _stands_on("parked"),
    "walking on": _stands_on("walking"),
    "lying on": _stands_on("lying"),
    "standing on": _stands_on("standing"),
    "on": _stands_on("resting"),
    "flying over": flying_over,
    "looking at": looking_at,
    "in front of": in_front_of,
    "beside": beside,
    "over": over,
}


def predicate_of(scene: Scene, subject: Node, target: Node) -> str | None:
    """The predicate of an ordered pair, or None."""
    return next((name for name, rule in RULES.items() if rule(scene, subject, target)), None)


def relations(scene: Scene) -> list[tuple[int, str, int]]:
    """All relations of a scene as (subject, predicate, object), numbers as in ``nodes_of``."""
    nodes = nodes_of(scene)
    found = []
    for i, subject in enumerate(nodes):
        for j, target in enumerate(nodes):
            if i != j and (name := predicate_of(scene, subject, target)) is not None:
                found.append((i, name, j))
    return found
