"""Random scenes: a place, and a few small situations in it, each a handful of things that have to do with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from spade.world.layout import SIZE, Band, Scene, Thing
from spade.world.stage import Stage, ground

MOST_THINGS = 6  # with the stuff regions at most nine or so segments


def sample_scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Draw a random scene for a picture of ``width`` x ``height`` pixels."""
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
        situation = _SITUATIONS[str(rng.choice(names, p=np.array(weights) / sum(weights)))]
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
    """Whether nothing leaves the picture by more than a third, and nothing hides much of what is there already."""
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


def _walker(s: Stage) -> list[Thing]:
    pose = str(s.rng.choice(["standing", "walking", "running", "sitting", "lying"], p=[0.10, 0.17, 0.17, 0.10, 0.46]))
    facing = 0 if pose in ("standing", "sitting") and s.chance(0.35) else s.facing
    return [s.make("person", pose, facing=facing)]


def _animal(s: Stage) -> list[Thing]:
    label = s.pick("dog", "cat") if s.indoors else s.pick("dog", "horse", "cat")
    poses = ("standing", "walking", "running") if label == "horse" else ("standing", "sitting", "lying", "walking", "running")
    return [s.make(label, s.pick(*poses))]


def _pair(s: Stage) -> list[Thing]:
    """Two people, often turned to each other: talking, looking, playing across a ball, or neither."""
    other_x = s.beside(float(s.rng.uniform(0.45, 0.85)))
    turned = s.chance(0.82)
    one = s.make("person", s.pick("standing", "walking", "sitting"), act="talking" if turned and s.chance(0.38) else "")
    label = s.pick("person", "person", "dog") if one.act == "" else "person"
    back = -s.facing if turned else int(s.rng.choice([s.facing, -s.facing]))
    other = s.make(label, s.pick("standing", "walking", "sitting"), x=other_x, facing=back, depth=s.jitter())
    if label == "person" and back == -s.facing and s.chance(0.35):
        other = replace(other, act="talking")
    found = [one, other]
    if one.act == other.act == "" and s.chance(0.85):
        middle = (one.x + other.x) / 2
        found.append(s.make("sports ball", "resting", x=middle if s.chance(0.85) else s.beside(-0.3), depth=one.depth, facing=1))
    return found


def _row(s: Stage) -> list[Thing]:
    """Three in a row: the one in the middle stands in the way of a gaze."""
    far = s.beside(float(s.rng.uniform(0.65, 0.9)))
    middle = s.make(
        s.pick("person", "dog", "horse" if s.scene.back == "sky-other-merged" else "chair", "cat"), "standing", x=(s.x + far) / 2
    )
    middle = replace(middle, facing=int(s.rng.choice([-1, 0, 1])) if middle.label == "person" else s.facing, depth=s.jitter())
    return [
        s.make("person", s.pick("standing", "walking", "running")),
        middle,
        s.make("person", s.pick("standing", "walking", "running"), x=far, facing=s.pick_facing(), depth=s.jitter()),
    ]


def _kick(s: Stage) -> list[Thing]:
    kicking = s.chance(0.6)
    person = s.make("person", "standing" if kicking else s.pick("standing", "running"), act="kicking" if kicking else "")
    return [person, s.make("sports ball", "resting", x=s.beside(float(s.rng.uniform(0.24, 0.4))), facing=1)]


def _chase(s: Stage) -> list[Thing]:
    hunter, prey = s.pick("dog", "person", "cat"), s.pick("cat", "dog", "person")
    running = s.chance(0.8)
    away = s.facing if s.chance(0.88) else -s.facing
    first = s.make(hunter, "running" if running else s.pick("standing", "walking"))
    second = s.make(
        prey, "running" if s.chance(0.88) else "walking", x=s.beside(float(s.rng.uniform(0.5, 0.9))), facing=away, depth=s.jitter()
    )
    return [first, second]


def _ride(s: Stage) -> list[Thing]:
    label = s.pick("horse", "bicycle", "bicycle")
    mount = s.make(label, s.pick("standing", "walking", "running") if label == "horse" else "standing")
    if s.chance(0.25):
        return [mount]
    if s.chance(0.2):
        return [mount, s.make("person", "standing", x=s.beside(-0.5), depth=s.jitter())]
    return [mount, s.upon(mount, s.base, "person", "riding", scale=mount.scale)]


def _feed(s: Stage) -> list[Thing]:
    reach = float(s.rng.uniform(0.4, 0.68) if s.chance(0.85) else s.rng.uniform(0.9, 1.2))
    label = s.pick("dog", "cat") if s.indoors else s.pick("horse", "dog", "cat")
    animal = s.make(label, "standing", x=s.beside(reach), facing=-s.facing if s.chance(0.8) else s.facing)
    if s.chance(0.15):
        return [animal, s.make("person", s.pick("standing", "walking"))]
    banana = s.held_thing("banana" if s.chance(0.7) else s.pick("cup", "sports ball"))
    return [animal, banana, s.make("person", s.pick("standing", "walking", "sitting"), holds=s.base + 1)]


def _umbrella(s: Stage) -> list[Thing]:
    holder = s.make("person", s.pick("standing", "walking"), holds=s.base)
    umbrella = replace(s.held_thing("umbrella"), scale=1.15)
    found = [umbrella, holder]
    if s.chance(0.8):
        found.append(s.make("person", holder.pose, x=s.beside(0.2), scale=0.8 * holder.scale, facing=s.facing, depth=s.depth - 0.01))
    return found


def _carry(s: Stage) -> list[Thing]:
    held = s.held_thing(s.pick("sports ball", "cup", "banana"))
    return [held, s.make("person", s.pick("standing", "walking", "running", "sitting"), holds=s.base)]


def _kite(s: Stage) -> list[Thing]:
    kite_x = float(np.clip(s.beside(float(s.rng.uniform(0.3, 0.6))), 0.06, 0.94))
    kite = s.make("kite", "flying", x=kite_x, depth=max(s.depth, 0.65), altitude=_in_the_sky(s, s.depth))
    return [kite, s.make("person", s.pick("standing", "running", "walking"), holds=s.base)]


def _bird(s: Stage) -> list[Thing]:
    if s.chance(0.6):
        return [s.make("bird", "flying", depth=max(s.depth, 0.65), altitude=_in_the_sky(s, s.depth))]
    return [s.make("bird", "standing", depth=max(s.depth, 0.65))]


def _bench(s: Stage) -> list[Thing]:
    return _seat(s, "bench")


def _couch(s: Stage) -> list[Thing]:
    return _seat(s, "couch")


def _seat(s: Stage, label: str) -> list[Thing]:
    seat = s.make(label, "resting")
    if s.chance(0.2):
        return [seat]
    if s.chance(0.25):
        return [seat, s.upon(seat, s.base, "cat", s.pick("sitting", "lying", "standing"), scale=1.0)]
    pose = s.pick("sitting", "sitting", "lying", "standing")
    return [seat, s.upon(seat, s.base, "person", pose, scale=0.8 * seat.scale if pose == "lying" else seat.scale)]


def _table(s: Stage) -> list[Thing]:
    table = s.make("dining table", "resting")
    found = [table]
    for label in ("cup", "banana"):
        if s.chance(0.55):
            side = float(s.rng.uniform(-0.3, 0.3)) * SIZE["dining table"][1]
            found.append(s.upon(table, s.base, label, "resting", x=s.beside(side)))
    if s.chance(0.8):
        chair = s.make("chair", "resting", x=s.beside(-0.48))
        found.append(chair)
        if s.chance(0.7):
            found.append(s.upon(chair, s.base + len(found) - 1, "person", "sitting", scale=chair.scale))
    return found


def _car(s: Stage) -> list[Thing]:
    road = next((i for i, band in enumerate(s.scene.bands) if band.label == "road"), None)
    if road is not None and s.chance(0.8):
        s.depth = float(s.rng.uniform(s.scene.bands[road - 1].near_edge + 0.08, s.scene.bands[road].near_edge - 0.02))
    car = s.make("car", "standing")
    found = [car]
    if s.chance(0.6):
        seat = SIZE["car"][0] * car.depth * car.scale * 0.52
        found.append(s.make("person", "sitting", x=s.beside(0.05), inside=s.base, altitude=seat, scale=0.58 * car.scale))
    if road is not None and s.chance(0.75) and s.scene.bands[road].near_edge >= s.depth:  # somebody on the road, too
        ahead = float(s.rng.uniform(0.55, 0.85)) * (1 if s.chance(0.8) else -1)
        found.append(s.make("person", s.pick("walking", "running", "walking"), x=s.beside(ahead), facing=s.pick_side()))
    return found


def _boat(s: Stage) -> list[Thing]:
    if s.scene.bands[0].label == "sea" and s.chance(0.65):
        s.depth = float(s.rng.uniform(0.6, 0.95)) * s.scene.bands[0].near_edge
    floating = s.scene.bands[0].label == "sea" and s.depth <= s.scene.bands[0].near_edge
    boat = s.make("boat", "floating" if floating else "resting", scale=1.3 if floating else 0.9)
    return [boat, s.upon(boat, s.base, "person", "sitting", scale=boat.scale)] if s.chance(0.7) else [boat]


def _play(s: Stage) -> list[Thing]:
    dog = s.make(s.pick("dog", "cat"), s.pick("standing", "sitting", "walking"))
    return [dog, s.make("sports ball", "resting", x=s.beside(float(s.rng.uniform(0.3, 0.42))), facing=1)]


def _in_the_sky(s: Stage, depth: float) -> float:
    """An altitude that puts the thing's lower end above the horizon."""
    top = s.scene.ground_y(max(depth, 0.65)) * s.scene.height / s.scene.unit
    return float(top - s.scene.horizon * s.rng.uniform(0.55, 0.95) * s.scene.height / s.scene.unit)


Situation = Callable[[Stage], list[Thing]]
_SITUATIONS: dict[str, Situation] = {
    "walker": _walker,
    "animal": _animal,
    "pair": _pair,
    "row": _row,
    "kick": _kick,
    "chase": _chase,
    "ride": _ride,
    "feed": _feed,
    "umbrella": _umbrella,
    "carry": _carry,
    "kite": _kite,
    "bird": _bird,
    "bench": _bench,
    "couch": _couch,
    "table": _table,
    "car": _car,
    "boat": _boat,
    "play": _play,
}
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
    "room": {"walker": 6, "animal": 2, "pair": 24, "row": 4, "chase": 13, "feed": 30, "carry": 5, "couch": 9, "table": 12, "play": 3},
}
