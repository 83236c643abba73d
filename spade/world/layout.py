"""A scene as a layout in depth: what stands where, how, and facing which way.

Frame: ``x`` in [0, 1] from the left to the right edge, ``depth`` in (0, 1] from the horizon (0) to the lower
edge of the picture (1). A thing's feet touch the ground at ``horizon + (1 - horizon) * depth`` of the
picture's height, and its size on the picture is proportional to ``depth`` (a pinhole camera above a plane).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

THINGS = ("person", "car", "bench", "bird", "dog", "horse", "sports ball", "kite")
STUFF = ("sky-other-merged", "mountain-merged", "sea", "grass-merged", "sand", "road")

# Height and length of a thing at depth 1, as a share of the picture's shorter side.
HEIGHT = {"person": 0.62, "car": 0.36, "bench": 0.26, "bird": 0.16, "dog": 0.30, "horse": 0.52, "sports ball": 0.13, "kite": 0.22}
LENGTH = {"person": 0.24, "car": 0.72, "bench": 0.52, "bird": 0.26, "dog": 0.40, "horse": 0.62, "sports ball": 0.13, "kite": 0.18}


@dataclass(frozen=True)
class Thing:
    """One countable object. ``on`` and ``holds`` are indices into the scene's things."""

    label: str
    x: float
    depth: float
    pose: str  # standing, walking, sitting, lying, riding, flying, parked, driving, resting
    facing: int  # -1 left, +1 right
    tint: float  # picks the colour, in [0, 1]
    altitude: float = 0.0  # of its lowest point above the ground, share of the picture's shorter side
    on: int | None = None
    holds: int | None = None


@dataclass(frozen=True)
class Band:
    """A strip of ground from depth ``near_edge`` up to the previous band (or the horizon)."""

    label: str
    near_edge: float


@dataclass(frozen=True)
class Scene:
    """A whole layout; ``bands`` run from the horizon to the viewer and end at depth 1."""

    width: int
    height: int
    horizon: float
    mountain: bool
    bands: tuple[Band, ...]
    things: tuple[Thing, ...]
    light: float  # brightness, about 1
    warmth: float  # -1 cold .. 1 warm
    texture_seed: int

    @property
    def unit(self) -> int:
        """The picture's shorter side in pixels."""
        return min(self.width, self.height)

    def ground_y(self, depth: float) -> float:
        """Height on the picture (share from the top) of a point on the ground at ``depth``."""
        return self.horizon + (1 - self.horizon) * depth

    def ground_at(self, depth: float) -> int:
        """Index of the band that lies at ``depth``."""
        for index, band in enumerate(self.bands):
            if depth <= band.near_edge:
                return index
        return len(self.bands) - 1

    def size(self, thing: Thing) -> tuple[float, float]:
        """Length and height of a thing on the picture, as shares of its shorter side."""
        return LENGTH[thing.label] * thing.depth, HEIGHT[thing.label] * thing.depth

    def span(self, thing: Thing) -> tuple[float, float]:
        """Left and right end of a thing, as shares of the picture's width."""
        half = self.size(thing)[0] / 2 * self.unit / self.width
        return thing.x - half, thing.x + half


def sample_scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Draw a random scene for a picture of ``width`` x ``height`` pixels."""
    horizon = float(rng.uniform(0.28, 0.42))
    kind = rng.choice(["field", "street", "beach"])
    bands: tuple[Band, ...]
    if kind == "beach":
        bands = (Band("sea", float(rng.uniform(0.22, 0.36))), Band("sand", 1.0))
    elif kind == "street":
        far = float(rng.uniform(0.3, 0.45))
        near = far + float(rng.uniform(0.25, 0.4))
        bands = (Band("grass-merged", far), Band("road", near), Band("grass-merged", 1.0))
    else:
        bands = (Band("grass-merged", 1.0),)
    scene = Scene(
        width=width,
        height=height,
        horizon=horizon,
        mountain=bool(rng.random() < 0.45),
        bands=bands,
        things=(),
        light=float(rng.uniform(0.82, 1.08)),
        warmth=float(rng.uniform(-1, 1)),
        texture_seed=int(rng.integers(2**31)),
    )
    things: list[Thing] = []
    for group in range(int(rng.integers(2, 5))):
        added = _sample_group(rng, scene, things)
        if added and len(things) + len(added) <= 6:
            things.extend(added)
        if not things and group == 3:
            things.extend(added)
    return replace(scene, things=tuple(things))


def _sample_group(rng: np.random.Generator, scene: Scene, placed: list[Thing]) -> list[Thing]:
    """One small situation: a thing, perhaps with what it sits on, rides, holds or plays with."""
    base = len(placed)
    spot = _free_spot(rng, scene, placed)
    if spot is None:
        return []
    x, depth = spot
    facing = int(rng.choice([-1, 1]))

    def tint() -> float:
        return float(rng.random())

    ground = scene.bands[scene.ground_at(depth)].label
    kind = rng.choice(
        ["walker", "bench", "rider", "kite", "car", "bird", "dog", "ball", "horse"],
        p=[0.16, 0.14, 0.10, 0.10, 0.16, 0.12, 0.12, 0.05, 0.05],
    )
    if kind == "car" or ground == "road":
        pose = "driving" if rng.random() < 0.5 else "parked"
        return [Thing("car", x, depth, pose, facing, tint())]
    if kind == "walker":
        return [Thing("person", x, depth, str(rng.choice(["standing", "walking", "lying"], p=[0.4, 0.45, 0.15])), facing, tint())]
    if kind == "bench":
        bench = Thing("bench", x, depth, "standing", facing, tint())
        if rng.random() < 0.25:
            return [bench]
        return [bench, Thing("person", x, depth, "sitting", facing, tint(), altitude=0.115 * depth, on=base)]
    if kind == "rider":
        horse = Thing("horse", x, depth, str(rng.choice(["standing", "walking"])), facing, tint())
        return [horse, Thing("person", x, depth, "riding", facing, tint(), altitude=0.27 * depth, on=base)]
    if kind == "kite":
        kite_x = float(np.clip(x + facing * rng.uniform(0.15, 0.3), 0.08, 0.92))
        kite = Thing("kite", kite_x, max(depth, 0.6), "flying", facing, tint(), altitude=_in_the_sky(rng, scene, depth))
        return [kite, Thing("person", x, depth, "standing", facing, tint(), holds=base)]
    if kind == "bird":
        if rng.random() < 0.75:
            return [Thing("bird", x, max(depth, 0.65), "flying", facing, tint(), altitude=_in_the_sky(rng, scene, depth))]
        return [Thing("bird", x, max(depth, 0.7), "standing", facing, tint())]
    if kind == "dog":
        dog = Thing("dog", x, depth, str(rng.choice(["standing", "sitting", "lying", "walking"])), facing, tint())
        if rng.random() < 0.45:
            ahead = x + facing * 0.36 * depth * scene.unit / scene.width
            return [dog, Thing("sports ball", float(ahead), depth, "resting", 1, tint())]
        return [dog]
    if kind == "horse":
        return [Thing("horse", x, depth, str(rng.choice(["standing", "walking"])), facing, tint())]
    return [Thing("sports ball", x, max(depth, 0.7), "resting", 1, tint())]


def _in_the_sky(rng: np.random.Generator, scene: Scene, depth: float) -> float:
    """An altitude that puts the thing's lower end above the horizon."""
    top = scene.ground_y(max(depth, 0.65)) * scene.height / scene.unit
    return float(top - scene.horizon * rng.uniform(0.55, 0.95) * scene.height / scene.unit)


def _free_spot(rng: np.random.Generator, scene: Scene, placed: list[Thing]) -> tuple[float, float] | None:
    """A place on firm ground that hides no thing placed before by more than about half; None if none was found."""
    first = scene.bands[0].near_edge + 0.06 if scene.bands[0].label == "sea" else 0.42
    for _ in range(12):
        x, depth = float(rng.uniform(0.12, 0.88)), float(rng.uniform(first, 0.95))
        gap = 0.3 * scene.unit / scene.width
        if all(abs(x - other.x) > gap * max(depth, other.depth) for other in placed):
            return x, depth
    return None
