"""What a living thing of the world sees."""

from __future__ import annotations

from spade.world.layout import Scene, Thing

REACH = 0.55  # times the depth: an arm's length and a half
SAME_DEPTH = 0.2  # things nearer than this in depth can look each other in the eye


def first_seen(scene: Scene, subject: Thing, flying: bool = False) -> Thing | None:
    """The nearest thing in the direction that the subject faces, at a similar depth, that could block the view.

    What lies low (balls, food, cups) or is held blocks nothing; nobody sees what carries him.
    """
    if subject.facing == 0 or subject.inside is not None:
        return None
    carrier = None if subject.on is None else scene.things[subject.on]
    seen = [
        other
        for other in scene.things
        if other is not subject
        and other is not carrier
        and other.inside is None
        and other.label not in ("sports ball", "banana", "cup", "kite", "umbrella")
        and (flying or other.pose != "flying")
        and other.on != scene.index(subject)
        and scene.ahead(subject, other) > 0
        and (level(subject, other) or (flying and other.pose == "flying"))
    ]
    return min(seen, key=lambda other: abs(other.x - subject.x)) if seen else None


def level(one: Thing, other: Thing) -> bool:
    """Whether two things are at about the same depth."""
    return abs(one.depth - other.depth) < SAME_DEPTH


def close_ahead(scene: Scene, subject: Thing, target: Thing, reach: float) -> bool:
    """Whether the target lies before the subject, at its depth and within ``reach`` times that."""
    return level(subject, target) and 0 < scene.ahead(subject, target) < reach * subject.depth
