"""Groups of things that happen together: a walker, a pair that talks, a dog that chases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from spade.world.layout import SIZE, Thing
from spade.world.stage import Stage


def _walker(s: Stage) -> list[Thing]:
    pose = str(s.rng.choice(["standing", "walking", "running", "sitting", "lying"], p=[0.10, 0.17, 0.17, 0.10, 0.46]))
    facing = 0 if pose in ("standing", "sitting") and s.chance(0.35) else s.facing
    return [s.make("person", pose, facing=facing)]


def _animal(s: Stage) -> list[Thing]:
    label = s.pick("dog", "cat") if s.indoors else s.pick("dog", "horse", "cat")
    poses = (
        ("standing", "walking", "running")
        if label == "horse"
        else ("standing", "sitting", "lying", "walking", "running")
    )
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
    things = [one, other]
    if one.act == other.act == "" and s.chance(0.85):
        middle = (one.x + other.x) / 2
        things.append(
            s.make("sports ball", "resting", x=middle if s.chance(0.85) else s.beside(-0.3), depth=one.depth, facing=1)
        )
    return things


def _row(s: Stage) -> list[Thing]:
    """Three in a row: the one in the middle stands in the way of a gaze."""
    far = s.beside(float(s.rng.uniform(0.65, 0.9)))
    middle = s.make(
        s.pick("person", "dog", "horse" if s.scene.back == "sky-other-merged" else "chair", "cat"),
        "standing",
        x=(s.x + far) / 2,
    )
    middle = replace(
        middle, facing=int(s.rng.choice([-1, 0, 1])) if middle.label == "person" else s.facing, depth=s.jitter()
    )
    return [
        s.make("person", s.pick("standing", "walking", "running")),
        middle,
        s.make("person", s.pick("standing", "walking", "running"), x=far, facing=s.pick_facing(), depth=s.jitter()),
    ]


def _kick(s: Stage) -> list[Thing]:
    kicking = s.chance(0.6)
    person = s.make(
        "person", "standing" if kicking else s.pick("standing", "running"), act="kicking" if kicking else ""
    )
    return [person, s.make("sports ball", "resting", x=s.beside(float(s.rng.uniform(0.24, 0.4))), facing=1)]


def _chase(s: Stage) -> list[Thing]:
    hunter, prey = s.pick("dog", "person", "cat"), s.pick("cat", "dog", "person")
    running = s.chance(0.8)
    away = s.facing if s.chance(0.88) else -s.facing
    first = s.make(hunter, "running" if running else s.pick("standing", "walking"))
    second = s.make(
        prey,
        "running" if s.chance(0.88) else "walking",
        x=s.beside(float(s.rng.uniform(0.5, 0.9))),
        facing=away,
        depth=s.jitter(),
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
    things = [umbrella, holder]
    if s.chance(0.8):
        things.append(
            s.make(
                "person", holder.pose, x=s.beside(0.2), scale=0.8 * holder.scale, facing=s.facing, depth=s.depth - 0.01
            )
        )
    return things


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
    things = [table]
    for label in ("cup", "banana"):
        if s.chance(0.55):
            side = float(s.rng.uniform(-0.3, 0.3)) * SIZE["dining table"][1]
            things.append(s.upon(table, s.base, label, "resting", x=s.beside(side)))
    if s.chance(0.8):
        chair = s.make("chair", "resting", x=s.beside(-0.48))
        things.append(chair)
        if s.chance(0.7):
            things.append(s.upon(chair, s.base + len(things) - 1, "person", "sitting", scale=chair.scale))
    return things


def _car(s: Stage) -> list[Thing]:
    road = next((i for i, band in enumerate(s.scene.bands) if band.label == "road"), None)
    if road is not None and s.chance(0.8):
        s.depth = float(s.rng.uniform(s.scene.bands[road - 1].near_edge + 0.08, s.scene.bands[road].near_edge - 0.02))
    car = s.make("car", "standing")
    things = [car]
    if s.chance(0.6):
        seat = SIZE["car"][0] * car.depth * car.scale * 0.52
        things.append(
            s.make("person", "sitting", x=s.beside(0.05), inside=s.base, altitude=seat, scale=0.58 * car.scale)
        )
    if road is not None and s.chance(0.75) and s.scene.bands[road].near_edge >= s.depth:  # somebody on the road, too
        ahead = float(s.rng.uniform(0.55, 0.85)) * (1 if s.chance(0.8) else -1)
        things.append(
            s.make("person", s.pick("walking", "running", "walking"), x=s.beside(ahead), facing=s.pick_side())
        )
    return things


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

SITUATIONS: dict[str, Situation] = {
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
