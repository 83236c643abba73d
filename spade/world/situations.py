"""Random scenes: a place, and a few small situations in it, each a handful of things that have to do with each
other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spade.world.encounters import SITUATIONS
from spade.world.layout import Band, Scene, Thing
from spade.world.stage import Stage, ground

MOST_THINGS = 6  # with the stuff regions at most nine or so segments


def sample_scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Draw a random scene for an image of ``width`` x ``height`` pixels."""
    place = str(rng.choice(["field", "street", "beach", "room"], p=[0.24, 0.24, 0.24, 0.28]))
    indoors = place == "room"
    scene = Scene(
        width=width,
        height=height,
        horizon=float(rng.uniform(0.36, 0.48) if indoors else rng.uniform(0.28, 0.42)),
        back="wall-other-merged" if indoors else "sky-other-merged",
        mountain=not indoors and bool(rng.random() < 0.45),
        bands=_bands(rng, place),
        things=(),
        light=float(rng.uniform(0.8, 1.08)),
        warmth=float(rng.uniform(-1, 1)),
        texture_seed=int(rng.integers(2**31)),
    )
    things: list[Thing] = []
    names, weights = zip(*_PLACES[place].items(), strict=True)
    for _ in range(int(rng.integers(2, 5))):
        situation = SITUATIONS[str(rng.choice(names, p=np.array(weights) / sum(weights)))]
        for _ in range(6):
            facing = int(rng.choice([-1, 1]))
            x = 0.5 - facing * float(rng.uniform(-0.25, 0.42))  # most situations reach forward
            stage = Stage(rng, scene, len(things), x, facing)
            stage.depth = float(rng.uniform(*ground(scene)))
            added = situation(stage)
            if added and len(things) + len(added) <= MOST_THINGS and _fits(scene, things, added):
                things.extend(added)
                break
    return replace(scene, things=tuple(things))


def _bands(rng: np.random.Generator, place: str) -> tuple[Band, ...]:
    if place == "beach":
        return (Band("sea", float(rng.uniform(0.3, 0.42))), Band("sand", 1.0))
    if place == "street":
        far = float(rng.uniform(0.3, 0.42))
        near = far + float(rng.uniform(0.28, 0.4))
        return (Band("grass-merged", far), Band("road", near), Band("grass-merged", 1.0))
    if place == "room":
        return (Band("floor-wood", 1.0),)
    return (Band("grass-merged", 1.0),)


def _fits(scene: Scene, placed: list[Thing], added: list[Thing]) -> bool:
    """Whether nothing leaves the image by more than a third, and nothing hides much of what is there already."""
    whole = replace(scene, things=tuple(placed + added))
    for thing in added:
        left, right = whole.span(thing)
        if left < -(right - left) / 3 or right > 1 + (right - left) / 3:
            return False
        for other in placed:
            if thing.pose == "flying" or other.pose == "flying" or other.altitude > 0:
                continue
            a, b = whole.span(other)
            if min(right, b) - max(left, a) > 0.55 * min(right - left, b - a):
                return False
    return True


_OUTDOORS: dict[str, float] = {
    "walker": 8,
    "animal": 2,
    "pair": 27,
    "row": 3,
    "kick": 13,
    "chase": 17,
    "ride": 8,
    "feed": 24,
    "umbrella": 20,
    "carry": 2,
}
_OUTDOORS |= {"kite": 9, "bird": 3, "bench": 5, "play": 2}

_PLACES: dict[str, dict[str, float]] = {
    "field": _OUTDOORS,
    "street": _OUTDOORS | {"car": 190},
    "beach": _OUTDOORS | {"boat": 40, "ride": 1},
    "room": {
        "walker": 6,
        "animal": 2,
        "pair": 24,
        "row": 4,
        "chase": 13,
        "feed": 30,
        "carry": 5,
        "couch": 9,
        "table": 12,
        "play": 3,
    },
}
