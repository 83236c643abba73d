"""What each kind of thing looks like, pose by pose, in the brush's unit coordinates."""

from __future__ import annotations

from collections.abc import Callable

from spade.world.brush import Brush
from spade.world.layout import Thing
from spade.world.living_sprites import LIVING_SPRITES
from spade.world.palette import BRIGHT, CARS, CLOTH, METAL, dark, pick


def _car(brush: Brush, thing: Thing) -> None:
    body, glass = pick(CARS, thing), (176, 206, 224)
    brush.polygon([(-0.62, 0.5), (-0.42, 1.0), (0.3, 1.0), (0.62, 0.52)], dark(body, 0.85))
    brush.polygon([(-0.48, 0.55), (-0.36, 0.92), (-0.14, 0.92), (-0.14, 0.55)], glass)
    brush.polygon([(-0.08, 0.55), (-0.08, 0.92), (0.26, 0.92), (0.5, 0.55)], glass)
    brush.polygon([(-1.0, 0.18), (-1.0, 0.52), (0.98, 0.56), (1.0, 0.18)], body)
    for x in (-0.58, 0.58):
        brush.ellipse(x, 0.18, 0.2, 0.19, (28, 28, 30))
        brush.ellipse(x, 0.18, 0.09, 0.09, (170, 170, 174))
    brush.ellipse(0.93, 0.42, 0.07, 0.08, (250, 240, 190))


def _bicycle(brush: Brush, thing: Thing) -> None:
    frame = pick(BRIGHT, thing)
    for x in (-0.5, 0.5):
        brush.ellipse(x, 0.32, 0.32, 0.32, (40, 40, 44))
        brush.ellipse(x, 0.32, 0.22, 0.22, (196, 198, 200))
    for line in (
        (-0.5, 0.32, -0.12, 0.82),
        (-0.12, 0.82, 0.36, 0.8),
        (0.5, 0.32, 0.34, 0.95),
        (-0.5, 0.32, 0.0, 0.3),
        (0.0, 0.3, 0.36, 0.8),
    ):
        brush.limb(*line, 0.07, frame)
    brush.limb(-0.22, 0.9, -0.02, 0.9, 0.08, (40, 40, 44))
    brush.limb(0.34, 0.95, 0.2, 1.0, 0.06, (40, 40, 44))


def _boat(brush: Brush, thing: Thing) -> None:
    hull = pick(CARS, thing)
    brush.polygon([(-1.1, 0.5), (1.25, 0.56), (0.85, 0.0), (-0.85, 0.0)], hull)
    brush.polygon([(-1.1, 0.5), (1.25, 0.56), (1.2, 0.44), (-1.06, 0.38)], (240, 240, 236))


def _bench(brush: Brush, thing: Thing) -> None:
    wood = (146, 98, 54)
    for x in (-0.85, 0.85):
        brush.limb(x, 0, x, 0.95, 0.09, dark(wood, 0.6))
    brush.polygon([(-1, 0.42), (1, 0.42), (1, 0.56), (-1, 0.56)], wood)
    brush.polygon([(-0.98, 0.72), (0.98, 0.72), (0.98, 0.96), (-0.98, 0.96)], dark(wood, 0.85))


def _chair(brush: Brush, thing: Thing) -> None:
    wood = ((170, 120, 70), (90, 70, 60), (220, 214, 204))[int(thing.tint * 3) % 3]
    for x in (-0.26, 0.28):
        brush.limb(x, 0, x, 0.45, 0.08, dark(wood, 0.7))
    brush.polygon([(-0.33, 0.42), (0.34, 0.42), (0.34, 0.52), (-0.33, 0.52)], wood)
    brush.polygon([(-0.34, 0.5), (-0.24, 0.5), (-0.26, 1.0), (-0.36, 1.0)], dark(wood, 0.85))


def _couch(brush: Brush, thing: Thing) -> None:
    cloth = pick(CLOTH, thing)
    brush.polygon([(-0.9, 0.1), (0.9, 0.1), (0.9, 1.0), (-0.9, 1.0)], dark(cloth, 0.8))
    brush.polygon([(-0.78, 0.1), (0.78, 0.1), (0.78, 0.48), (-0.78, 0.48)], cloth)
    for x in (-0.84, 0.84):
        brush.polygon([(x - 0.1, 0.04), (x + 0.1, 0.04), (x + 0.1, 0.66), (x - 0.1, 0.66)], dark(cloth, 0.9))


def _table(brush: Brush, thing: Thing) -> None:
    wood = ((180, 130, 80), (120, 84, 56), (226, 220, 210))[int(thing.tint * 3) % 3]
    for x in (-0.78, 0.78):
        brush.limb(x, 0, x, 0.9, 0.1, dark(wood, 0.65))
    brush.polygon([(-0.94, 0.86), (0.94, 0.86), (0.94, 1.0), (-0.94, 1.0)], wood)


def _ball(brush: Brush, thing: Thing) -> None:
    brush.ellipse(0, 0.5, 0.5, 0.5, pick(BRIGHT, thing))
    brush.ellipse(-0.12, 0.62, 0.18, 0.18, (255, 255, 255))


def _cup(brush: Brush, thing: Thing) -> None:
    colour = pick(BRIGHT, thing, 1)
    brush.polygon([(-0.32, 0), (0.32, 0), (0.4, 1.0), (-0.4, 1.0)], colour)
    brush.limb(0.36, 0.75, 0.62, 0.5, 0.12, colour)
    brush.polygon([(-0.4, 0.85), (0.4, 0.85), (0.4, 1.0), (-0.4, 1.0)], (250, 250, 250))


def _banana(brush: Brush, thing: Thing) -> None:
    brush.polygon(
        [(-0.85, 0.75), (-0.5, 0.1), (0.3, 0.0), (0.9, 0.6), (0.75, 0.85), (0.2, 0.5), (-0.35, 0.55)], (248, 216, 60)
    )


def _umbrella(brush: Brush, thing: Thing) -> None:
    colour = pick(BRIGHT, thing)
    brush.limb(0, -0.35, 0, 0.6, 0.05, METAL)
    brush.polygon(
        [(-0.7, 0.45), (-0.55, 0.75), (0, 1.0), (0.55, 0.75), (0.7, 0.45), (0.35, 0.55), (0, 0.45), (-0.35, 0.55)],
        colour,
    )


def _kite(brush: Brush, thing: Thing) -> None:
    colour = pick(BRIGHT, thing)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 1), (-0.42, 0.62)], colour)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 0.62)], dark(colour, 0.7))
    brush.polygon([(0, 1), (-0.42, 0.62), (0, 0.62)], dark(colour, 0.85))


SPRITES: dict[str, Callable[[Brush, Thing], None]] = LIVING_SPRITES | {
    "bicycle": _bicycle,
    "car": _car,
    "boat": _boat,
    "bench": _bench,
    "umbrella": _umbrella,
    "sports ball": _ball,
    "kite": _kite,
    "cup": _cup,
    "banana": _banana,
    "chair": _chair,
    "couch": _couch,
    "dining table": _table,
}
