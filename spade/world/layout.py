"""A scene as a layout in depth: what stands where, how, and facing which way.

Frame: ``x`` in [0, 1] from the left to the right edge, ``depth`` in (0, 1] from the horizon (0) to the lower
edge of the image (1). Indoors the horizon is where the wall meets the floor. A thing's feet touch the ground at
``horizon + (1 - horizon) * depth`` of the image's height, and its size on the image is proportional to
``depth`` (a pinhole camera above a plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

THINGS = (
    "person",
    "bicycle",
    "car",
    "boat",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "umbrella",
    "sports ball",
    "kite",
    "cup",
    "banana",
    "chair",
    "couch",
    "dining table",
)

STUFF = (
    "sky-other-merged",
    "mountain-merged",
    "sea",
    "grass-merged",
    "sand",
    "road",
    "wall-other-merged",
    "floor-wood",
)

LIVING = frozenset({"person", "cat", "dog", "horse", "bird"})
ANIMALS = LIVING - {"person"}

# Height and length at depth 1, as shares of the image's shorter side.
SIZE: dict[str, tuple[float, float]] = {
    "person": (0.60, 0.24),
    "bicycle": (0.30, 0.48),
    "car": (0.36, 0.74),
    "boat": (0.26, 0.66),
    "bench": (0.26, 0.54),
    "bird": (0.16, 0.26),
    "cat": (0.22, 0.28),
    "dog": (0.30, 0.40),
    "horse": (0.52, 0.62),
    "umbrella": (0.30, 0.42),
    "sports ball": (0.13, 0.13),
    "kite": (0.22, 0.18),
    "cup": (0.12, 0.10),
    "banana": (0.08, 0.14),
    "chair": (0.36, 0.26),
    "couch": (0.34, 0.62),
    "dining table": (0.30, 0.56),
}

# Where what they carry sits: height of the seat or top as a share of their own height.
SEAT = {
    "bench": 0.45,
    "chair": 0.48,
    "couch": 0.42,
    "horse": 0.52,
    "bicycle": 0.62,
    "boat": 0.45,
    "dining table": 0.97,
    "car": 0.42,
}


@dataclass(frozen=True)
class Thing:
    """One countable object. ``on``, ``holds`` and ``inside`` are indices into the scene's things.

    ``facing``: -1 left, +1 right, 0 towards the viewer. ``act`` is what arms or legs do: "", "talking", "kicking".
    """

    label: str
    x: float
    depth: float
    pose: str  # standing, walking, running, sitting, lying, riding, flying, floating, resting
    facing: int
    tint: float  # picks the colour, in [0, 1]
    scale: float = 1.0  # of its kind's usual size
    altitude: float = 0.0  # of its lowest point above the ground, share of the image's shorter side
    act: str = ""
    on: int | None = None
    holds: int | None = None
    inside: int | None = None


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
    back: str  # above the horizon: sky-other-merged or wall-other-merged
    mountain: bool
    bands: tuple[Band, ...]
    things: tuple[Thing, ...]
    light: float  # brightness, about 1
    warmth: float  # -1 cold .. 1 warm
    texture_seed: int

    @property
    def unit(self) -> int:
        """The image's shorter side in pixels."""
        return min(self.width, self.height)

    def ground_y(self, depth: float) -> float:
        """Height on the image (share from the top) of a point on the ground at ``depth``."""
        return self.horizon + (1 - self.horizon) * depth

    def ground_of(self, thing: Thing) -> str:
        """Label of the band at a thing's depth."""
        return next((band.label for band in self.bands if thing.depth <= band.near_edge), self.bands[-1].label)

    def size(self, thing: Thing) -> tuple[float, float]:
        """Length and height of a thing on the image, as shares of its shorter side."""
        height, length = SIZE[thing.label]
        factor = thing.depth * thing.scale
        if thing.pose == "lying" and thing.label == "person":
            height, length = length, height  # the long way round
        return length * factor, height * factor

    def span(self, thing: Thing) -> tuple[float, float]:
        """Left and right end of a thing, as shares of the image's width."""
        half = self.size(thing)[0] / 2 * self.unit / self.width
        return thing.x - half, thing.x + half

    def ahead(self, subject: Thing, target: Thing) -> float:
        """How far the target lies in the direction that the subject faces, in shorter sides; negative behind it."""
        return (target.x - subject.x) * subject.facing * self.width / self.unit

    def index(self, thing: Thing) -> int:
        """Number of a thing of this scene (the very object, not an equal one)."""
        return next(i for i, other in enumerate(self.things) if other is thing)

    def held(self, thing: Thing) -> bool:
        """Whether somebody holds it."""
        number = self.index(thing)
        return any(other.holds == number for other in self.things)


def without(scene: Scene, removed: int) -> Scene:
    """The scene with its ``removed``-th thing gone; what it carried or held stays where it was, held by nobody."""

    def moved(number: int | None) -> int | None:
        if number is None or number == removed:
            return None
        return number - (number > removed)

    things = [
        replace(thing, on=moved(thing.on), holds=moved(thing.holds), inside=moved(thing.inside))
        for i, thing in enumerate(scene.things)
        if i != removed
    ]
    return replace(scene, things=tuple(things))


def without_stuff(scene: Scene, label: str) -> Scene:
    """The scene with a stuff region gone: a mountain is taken away, ground becomes nameless."""
    if label == "mountain-merged":
        return replace(scene, mountain=False)
    if label == scene.back:
        return replace(scene, back="")
    bands: Sequence[Band] = [replace(band, label="") if band.label == label else band for band in scene.bands]
    return replace(scene, bands=tuple(bands))
