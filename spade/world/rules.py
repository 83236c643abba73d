"""The rules of the world: which predicate holds between which two segments, as functions of the layout.

Written once: annotations are made of ``relations``, and captions of the annotated ones. Nodes are numbered things
first (their index in ``scene.things``), then the stuff regions in the order of ``stuff_of``. Distances are in
shorter sides of the image, depths as in layout.py.
"""

from __future__ import annotations

from collections.abc import Callable

from spade.world.layout import ANIMALS, LIVING, Scene, Thing
from spade.world.regions import Node, Region, nodes_of
from spade.world.sight import REACH, close_ahead, first_seen, level

MOVING = ("walking", "running")
Rule = Callable[[Scene, Node, Node], bool]


def _things(rule: Callable[[Scene, Thing, Thing], bool]) -> Rule:
    """A rule about two things."""

    def checked(scene: Scene, subject: Node, target: Node) -> bool:
        return isinstance(subject, Thing) and isinstance(target, Thing) and rule(scene, subject, target)

    checked.__doc__ = rule.__doc__
    return checked


def _on_ground(thing: Thing) -> bool:
    """Its own feet or wheels touch the ground."""
    return (
        thing.on is None and thing.inside is None and thing.altitude == 0 and thing.pose not in ("flying", "floating")
    )


def _upon(*poses: str) -> Rule:
    """In one of these poses on what carries it: another thing, else the ground at its feet."""

    def rule(scene: Scene, subject: Node, target: Node) -> bool:
        if not isinstance(subject, Thing) or subject.pose not in poses:
            return False
        if subject.on is not None:
            return scene.things[subject.on] is target
        return isinstance(target, Region) and _on_ground(subject) and scene.ground_of(subject) == target.label

    return rule


@_things
def driving(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Inside a car."""
    return subject.inside is not None and scene.things[subject.inside] is target


def driving_on(scene: Scene, subject: Node, target: Node) -> bool:
    """A car on this ground with somebody inside; an empty one is parked."""
    return _car_on(scene, subject, target) and _driven(scene, subject)


def parked_on(scene: Scene, subject: Node, target: Node) -> bool:
    """A car on this ground with nobody inside, or a bicycle that nobody rides."""
    if isinstance(subject, Thing) and subject.label == "bicycle" and isinstance(target, Region):
        number = scene.index(subject)
        return scene.ground_of(subject) == target.label and not any(other.on == number for other in scene.things)
    return _car_on(scene, subject, target) and not _driven(scene, subject)


def _car_on(scene: Scene, subject: Node, target: Node) -> bool:
    return (
        isinstance(subject, Thing)
        and subject.label == "car"
        and isinstance(target, Region)
        and scene.ground_of(subject) == target.label
    )


def _driven(scene: Scene, car: Node) -> bool:
    return isinstance(car, Thing) and any(thing.inside == scene.index(car) for thing in scene.things)


def crossing(scene: Scene, subject: Node, target: Node) -> bool:
    """On foot on a road on which a car with a driver comes towards the walker."""
    if (
        not (isinstance(subject, Thing) and isinstance(target, Region))
        or target.label != "road"
        or subject.pose not in MOVING
    ):
        return False
    if subject.label == "car" or not _on_ground(subject) or scene.ground_of(subject) != "road":
        return False
    cars = [thing for thing in scene.things if thing.label == "car" and scene.ground_of(thing) == "road"]
    return any(_driven(scene, car) and scene.ahead(car, subject) > 0 for car in cars)


@_things
def riding(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Astride a horse or a bicycle, or in a boat that floats on the sea."""
    if subject.on is None or scene.things[subject.on] is not target or target.label not in ("horse", "bicycle", "boat"):
        return False
    return target.label != "boat" or scene.ground_of(target) == "sea"


@_things
def feeding(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Food in the hand, and the first that the gaze meets is an animal within reach."""
    if subject.holds is None or scene.things[subject.holds].label != "banana" or target.label not in ANIMALS:
        return False
    return first_seen(scene, subject) is target and scene.ahead(subject, target) < 1.3 * REACH * subject.depth


@_things
def carrying(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Held while walking or running."""
    return subject.holds is not None and scene.things[subject.holds] is target and subject.pose in MOVING


@_things
def holding(scene: Scene, subject: Thing, target: Thing) -> bool:
    """In the hand, or at the end of a string that ends there."""
    return subject.holds is not None and scene.things[subject.holds] is target


@_things
def kicking(scene: Scene, subject: Thing, target: Thing) -> bool:
    """A leg swung at the nearest ball right before it."""
    return subject.act == "kicking" and _ball_ahead(scene, subject, REACH) is target


@_things
def chasing(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Running after the first thing in its way, which moves the same way."""
    same_way = target.label in LIVING and target.pose in ("running", "flying") and target.facing == subject.facing
    return subject.pose == "running" and same_way and first_seen(scene, subject, flying=True) is target


@_things
def playing_with(scene: Scene, subject: Thing, target: Thing) -> bool:
    """With a ball right before the nose; or with somebody who looks back across a ball that lies between the two."""
    if subject.label not in ("person", "dog", "cat") or subject.pose == "lying" or subject.facing == 0:
        return False
    if target.label == "sports ball":
        return subject.label != "person" and _ball_ahead(scene, subject, 0.9 * REACH) is target
    facing = target.label in ("person", "dog", "cat") and target.facing == -subject.facing and target.pose != "lying"
    return facing and level(subject, target) and _ball_between(scene, subject, target)


def _ball_between(scene: Scene, one: Thing, other: Thing) -> bool:
    left, right = sorted((one.x, other.x))
    if (other.x - one.x) * one.facing <= 0:
        return False
    return any(left < ball.x < right and level(ball, one) for ball in _balls(scene))


def _balls(scene: Scene) -> list[Thing]:
    """Balls on the ground; one in a hand is not played with."""
    return [thing for thing in scene.things if thing.label == "sports ball" and thing.altitude == 0]


def _ball_ahead(scene: Scene, subject: Thing, reach: float) -> Thing | None:
    """The nearest ball right before the subject."""
    near = [ball for ball in _balls(scene) if close_ahead(scene, subject, ball, reach)]
    return min(near, key=lambda ball: scene.ahead(subject, ball), default=None)


@_things
def talking_to(scene: Scene, subject: Thing, target: Thing) -> bool:
    """A hand raised towards the person that the gaze meets first."""
    return subject.act == "talking" and target.label == "person" and first_seen(scene, subject) is target


@_things
def looking_at(scene: Scene, subject: Thing, target: Thing) -> bool:
    """The first thing that the gaze meets."""
    return subject.label in LIVING and subject.pose not in ("lying", "flying") and first_seen(scene, subject) is target


@_things
def in_front_of(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Nearer to the viewer, and covering a part of the target's width."""
    if not (_on_ground(subject) and _on_ground(target)):
        return False
    left, right = scene.span(subject)
    other_left, other_right = scene.span(target)
    overlap = min(right, other_right) - max(left, other_left)
    return subject.depth - target.depth > 0.08 and overlap > 0.25 * min(right - left, other_right - other_left)


@_things
def beside(scene: Scene, subject: Thing, target: Thing) -> bool:
    """Side by side at a similar depth, at most a body's length apart; the left one is the subject."""
    if not (_on_ground(subject) and _on_ground(target)):
        return False
    gap = (scene.span(target)[0] - scene.span(subject)[1]) * scene.width / scene.unit
    return (
        subject.x < target.x
        and -0.1 < gap < 0.45 * max(subject.depth, target.depth)
        and abs(subject.depth - target.depth) < 0.16
    )


def flying_over(scene: Scene, subject: Node, target: Node) -> bool:
    """In the air above the first region under the sky; a kite stays there only while somebody holds it."""
    if not (isinstance(subject, Thing) and isinstance(target, Region) and subject.pose == "flying"):
        return False
    if subject.label == "kite" and not scene.held(subject):
        return False
    return target.label == _first_below(scene)


def over(scene: Scene, subject: Node, target: Node) -> bool:
    """The sky over the region that meets it; an umbrella over somebody who does not hold it."""
    if isinstance(subject, Region):
        return (
            subject.label == "sky-other-merged" and isinstance(target, Region) and target.label == _first_below(scene)
        )
    if subject.label != "umbrella" or not (
        isinstance(target, Thing) and target.label == "person" and scene.held(subject)
    ):
        return False
    left, right = scene.span(subject)
    return (
        left < target.x < right
        and target.holds != scene.index(subject)
        and target.inside is None
        and level(subject, target)
    )


def _first_below(scene: Scene) -> str:
    return "mountain-merged" if scene.mountain else scene.bands[0].label


# In order of priority: the first rule that holds names the ordered pair.
RULES: dict[str, Rule] = {
    "driving": driving,
    "riding": riding,
    "sitting on": _upon("sitting"),
    "lying on": _upon("lying"),
    "feeding": feeding,
    "carrying": carrying,
    "holding": holding,
    "kicking": kicking,
    "chasing": chasing,
    "playing with": playing_with,
    "talking to": talking_to,
    "driving on": driving_on,
    "parked on": parked_on,
    "crossing": crossing,
    "running on": _upon("running"),
    "walking on": _upon("walking"),
    "standing on": _upon("standing"),
    "on": _upon("resting", "floating", "riding"),
    "flying over": flying_over,
    "over": over,
    "looking at": looking_at,
    "in front of": in_front_of,
    "beside": beside,
}

PREDICATES = tuple(RULES)
SYMMETRIC = frozenset({"beside"})


def predicate_of(scene: Scene, subject: Node, target: Node) -> str | None:
    """The predicate of an ordered pair, or None."""
    return next((name for name, rule in RULES.items() if rule(scene, subject, target)), None)


def relations(scene: Scene) -> list[tuple[int, str, int]]:
    """All relations of a scene as (subject, predicate, object), numbers as in ``nodes_of``."""
    nodes = nodes_of(scene)
    triples = []
    for i, subject in enumerate(nodes):
        for j, target in enumerate(nodes):
            if i != j and (name := predicate_of(scene, subject, target)) is not None:
                triples.append((i, name, j))
    return triples
