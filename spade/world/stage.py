"""The place where a situation happens: what a situation needs to put things there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spade.world.layout import SEAT, SIZE, Scene, Thing


def ground(scene: Scene) -> tuple[float, float]:
    """Depths at which feet can stand."""
    return (scene.bands[0].near_edge + 0.06 if scene.bands[0].label == "sea" else 0.42), 0.95


@dataclass
class Stage:
    """Where a situation takes place: ``base`` is the number that its first thing will get."""

    rng: np.random.Generator
    scene: Scene
    base: int
    x: float
    facing: int
    depth: float = 0.7

    @property
    def indoors(self) -> bool:
        """Whether there is a wall instead of a sky."""
        return self.scene.back == "wall-other-merged"

    def chance(self, share: float) -> bool:
        """Yes, in this share of the cases."""
        return bool(self.rng.random() < share)

    def pick(self, *names: str) -> str:
        """One of several names."""
        return str(self.rng.choice(names))

    def beside(self, distance: float) -> float:
        """The x that lies so many shorter sides (at depth 1) ahead of the stage's."""
        return self.x + self.facing * distance * self.depth * self.scene.unit / self.scene.width

    def make(self, label: str, pose: str, **facts: object) -> Thing:
        """A thing at the stage's place, unless ``facts`` say otherwise."""
        usual: dict[str, object] = {
            "x": self.x,
            "depth": self.depth,
            "facing": self.facing,
            "tint": float(self.rng.random()),
        }
        usual["scale"] = float(self.rng.uniform(0.82, 1.12))
        return Thing(label=label, pose=pose, **{**usual, **facts})  # type: ignore[arg-type]

    def upon(self, carrier: Thing, number: int, label: str, pose: str, **facts: object) -> Thing:
        """A thing on the seat or the top of another."""
        height = SIZE[carrier.label][0] * carrier.depth * carrier.scale
        usual: dict[str, object] = {
            "x": carrier.x,
            "depth": carrier.depth,
            "on": number,
            "altitude": SEAT[carrier.label] * height,
        }
        return self.make(label, pose, **{**usual, **facts})

    def pick_side(self) -> int:
        """Left or right."""
        return int(self.rng.choice([-1, 1]))

    def pick_facing(self) -> int:
        """Left, right or towards the viewer."""
        return int(self.rng.choice([-1, 0, 1]))

    def held_thing(self, label: str) -> Thing:
        """A thing in the hand of a person who stands at the stage's place: before the chest, an umbrella above the
        head.
        """
        ahead, up = (0.03, 0.5) if label == "umbrella" else (0.15, 0.3)
        return self.make(label, "resting", x=self.beside(ahead), altitude=up * self.depth)

    def jitter(self, depth: float = 0.06) -> float:
        """A depth near the stage's."""
        low, high = ground(self.scene)
        return float(np.clip(self.depth + self.rng.uniform(-depth, depth), low, high))
