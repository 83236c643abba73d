"""What each kind of thing looks like, pose by pose, in the brush's unit coordinates."""

from __future__ import annotations

from collections.abc import Callable

from spade.world.brush import Brush, Colour
from spade.world.layout import Thing

_SHIRTS: tuple[Colour, ...] = ((200, 48, 52), (46, 84, 190), (236, 196, 60), (240, 240, 240), (120, 60, 150), (40, 150, 120))
_CARS: tuple[Colour, ...] = ((196, 40, 40), (40, 80, 180), (230, 230, 232), (52, 54, 60), (240, 170, 40))
_COATS: tuple[Colour, ...] = ((120, 78, 44), (60, 44, 36), (176, 132, 84), (210, 204, 196))
_CATS: tuple[Colour, ...] = ((230, 140, 60), (70, 70, 76), (225, 220, 212))
_BRIGHT: tuple[Colour, ...] = ((236, 64, 120), (250, 150, 30), (70, 200, 190), (250, 230, 70))
_CLOTH: tuple[Colour, ...] = ((150, 60, 60), (70, 100, 140), (120, 130, 80), (170, 140, 110))
_SKINS: tuple[Colour, ...] = ((232, 186, 150), (196, 144, 108), (120, 82, 58))
_HAIR: tuple[Colour, ...] = ((70, 48, 34), (30, 28, 30), (190, 150, 80))
_TROUSERS: tuple[Colour, ...] = ((52, 60, 92), (70, 66, 60), (40, 40, 44))
_METAL: Colour = (70, 74, 82)


def _pick(colours: tuple[Colour, ...], thing: Thing, turn: int = 0) -> Colour:
    return colours[(int(thing.tint * 997) // (turn * 7 + 1)) % len(colours)]


def _dark(colour: Colour, by: float = 0.7) -> Colour:
    return (int(colour[0] * by), int(colour[1] * by), int(colour[2] * by))


def _head(brush: Brush, thing: Thing, x: float, y: float) -> None:
    """A head in profile with a nose, or from the front with two eyes."""
    skin, hair = _pick(_SKINS, thing, 2), _pick(_HAIR, thing, 3)
    brush.ellipse(x, y, 0.095, 0.1, skin)
    if thing.facing == 0:
        brush.polygon([(x - 0.1, y + 0.02), (x - 0.09, y + 0.1), (x + 0.09, y + 0.1), (x + 0.1, y + 0.02), (x, y + 0.05)], hair)
        for side in (-0.035, 0.035):
            brush.ellipse(x + side, y, 0.014, 0.018, (30, 26, 30))
        return
    brush.polygon([(x - 0.1, y - 0.03), (x - 0.1, y + 0.1), (x + 0.06, y + 0.11), (x + 0.03, y + 0.04), (x - 0.04, y + 0.03)], hair)
    brush.polygon([(x + 0.08, y + 0.02), (x + 0.15, y - 0.02), (x + 0.08, y - 0.03)], skin)
    brush.ellipse(x + 0.055, y + 0.02, 0.014, 0.018, (30, 26, 30))


def _person(brush: Brush, thing: Thing) -> None:
    shirt, trousers, skin = _pick(_SHIRTS, thing), _pick(_TROUSERS, thing, 1), _pick(_SKINS, thing, 2)
    if thing.inside is not None:
        brush.polygon([(-0.1, 0.0), (0.1, 0.0), (0.1, 0.14), (-0.1, 0.14)], shirt)
        _head(brush, thing, 0, 0.22)
        return
    if thing.pose == "lying":
        brush.limb(-0.45, 0.08, -0.02, 0.08, 0.12, trousers)
        brush.limb(0.0, 0.09, 0.26, 0.09, 0.15, shirt)
        brush.ellipse(0.42, 0.1, 0.095, 0.095, skin)
        brush.polygon([(0.44, 0.19), (0.52, 0.16), (0.52, 0.04), (0.44, 0.01)], _pick(_HAIR, thing, 3))
        return
    seat = 0.46
    if thing.pose in ("sitting", "riding"):
        seat = 0.12
        brush.limb(-0.02, seat, 0.18, seat, 0.11, trousers)
        brush.limb(0.18, seat + 0.02, 0.18, (0.02 if thing.on is None else seat - 0.28), 0.09, trousers)
    elif thing.act == "kicking":
        brush.limb(0, seat, -0.06, 0, 0.10, _dark(trousers, 0.8))
        brush.limb(0, seat, 0.30, 0.16, 0.10, trousers)
    elif thing.pose == "running":
        brush.limb(0, seat, 0.2, 0.24, 0.10, trousers)
        brush.limb(0.2, 0.24, 0.16, 0.02, 0.08, trousers)
        brush.limb(0, seat, -0.12, 0.2, 0.10, _dark(trousers, 0.8))
        brush.limb(-0.12, 0.2, -0.24, 0.3, 0.08, _dark(trousers, 0.8))
    else:
        wide = thing.tint * 31 % 1 < 0.5  # some stand with their feet apart
        stride = 0.18 if thing.pose == "walking" else 0.17 if wide else 0.05
        if thing.pose == "walking":  # the foot behind leaves the ground by its heel
            brush.limb(-stride, 0.02, -stride - 0.05, 0.08, 0.08, _dark(trousers, 0.8))
        brush.limb(0, seat, stride, 0, 0.10, trousers)
        brush.limb(0, seat, -stride, 0, 0.10, _dark(trousers, 0.8))
    lean = 0.08 if thing.pose == "running" else 0.0
    top = seat + 0.34
    if thing.pose in ("standing", "walking", "running") and thing.tint * 57 % 1 < 0.45:  # a rucksack
        pack = [(-0.1, seat + 0.06), (-0.24 + lean / 2, seat + 0.04), (-0.26 + lean, top - 0.06), (-0.1 + lean, top)]
        brush.polygon(pack, _dark(_pick(_BRIGHT, thing, 4), 0.7))
    brush.polygon([(-0.11, seat), (0.11, seat), (0.13 + lean, top), (-0.13 + lean, top)], shirt)
    _arm(brush, thing, seat, lean, shirt)
    _head(brush, thing, lean, seat + 0.45)


def _arm(brush: Brush, thing: Thing, seat: float, lean: float, shirt: Colour) -> None:
    """The near arm: raised in talk, forward when it holds, bent when running, else along the body."""
    sleeve, skin, shoulder = _dark(shirt, 0.85), _pick(_SKINS, thing, 2), seat + 0.3
    if thing.act == "talking":
        brush.limb(0.05, shoulder, 0.26, shoulder - 0.06, 0.07, sleeve)
        brush.limb(0.26, shoulder - 0.06, 0.33, shoulder + 0.16, 0.06, skin)
    elif thing.holds is not None:
        brush.limb(0.05, shoulder, 0.24, shoulder - 0.14, 0.07, sleeve)
        brush.ellipse(0.26, shoulder - 0.14, 0.04, 0.04, skin)
    elif thing.pose == "running":
        brush.limb(lean, shoulder, 0.02, shoulder - 0.18, 0.07, sleeve)
        brush.limb(0.02, shoulder - 0.18, 0.2, shoulder - 0.14, 0.06, skin)
    elif thing.pose == "riding":
        brush.limb(0.05, shoulder - 0.02, 0.26, seat + 0.12, 0.07, sleeve)
    else:
        swing = 0.14 if thing.pose == "walking" else 0.05
        brush.limb(0.02, shoulder, swing, seat + 0.02, 0.07, sleeve)


def _four_legs(brush: Brush, thing: Thing, coat: Colour, leg: float, long: float, neck: float, thick: float = 0.18) -> None:
    """Body, legs after the pose, neck and head to the front."""
    low = 0.0 if thing.pose == "lying" else leg
    if thing.pose == "lying":
        brush.limb(-long, 0.05, long + 0.1, 0.05, 0.1, _dark(coat))
    elif thing.pose == "sitting":
        brush.limb(long * 0.75, 0, long * 0.75, leg + 0.2, 0.1, _dark(coat))
        brush.ellipse(-long * 0.6, 0.2, 0.22, 0.2, coat)
    elif thing.pose == "running":
        for x, reach, side in ((long * 0.8, 0.34, 1), (long * 0.6, 0.2, -1), (-long * 0.8, -0.34, 1), (-long * 0.6, -0.2, -1)):
            brush.limb(x, leg + 0.1, x + reach, leg * 0.35, 0.09, coat if side > 0 else _dark(coat))
    else:
        stride = 0.14 if thing.pose == "walking" else 0.03
        for x, side in ((-long * 0.8, 1), (long * 0.8, 1), (-long * 0.8, -1), (long * 0.8, -1)):
            brush.limb(x, leg + 0.1, x + side * stride, 0, 0.09, coat if side > 0 else _dark(coat))
    if thing.pose == "sitting":
        brush.polygon([(-long, 0.12), (-long * 0.3, 0.02), (long, leg + 0.06), (long * 0.9, leg + 0.4), (long * 0.4, leg + 0.38)], coat)
        brush.limb(-long * 0.9, 0.1, -long - 0.18, 0.16, 0.06, _dark(coat, 0.6))
    else:
        brush.ellipse(0, low + thick, long + 0.1, thick, coat)
        brush.limb(-long, low + thick + 0.06, -long - 0.2, low + (0.4 if neck < 0.3 else 0.05), 0.06, _dark(coat, 0.6))
    brush.polygon([(long * 0.6, low + 0.2), (long, low + 0.14), (long + 0.16, low + 0.3 + neck), (long - 0.04, low + 0.34 + neck)], coat)


def _dog(brush: Brush, thing: Thing) -> None:
    coat, low = _pick(_COATS, thing), 0.0 if thing.pose == "lying" else 0.3
    _four_legs(brush, thing, coat, leg=0.3, long=0.42, neck=0.12)
    brush.ellipse(0.56, low + 0.42, 0.17, 0.1, coat)
    brush.polygon([(0.42, low + 0.48), (0.5, low + 0.5), (0.4, low + 0.3)], _dark(coat, 0.6))
    brush.ellipse(0.7, low + 0.42, 0.04, 0.04, (20, 20, 22))


def _cat(brush: Brush, thing: Thing) -> None:
    coat, low = _pick(_CATS, thing), 0.0 if thing.pose == "lying" else 0.22
    _four_legs(brush, thing, coat, leg=0.22, long=0.34, neck=0.1, thick=0.15)
    brush.limb(-0.4, low + 0.2, -0.52, low + 0.66, 0.08, coat)
    brush.ellipse(0.46, low + 0.44, 0.16, 0.15, coat)
    for x in (0.36, 0.5):
        brush.polygon([(x, low + 0.54), (x + 0.05, low + 0.74), (x + 0.12, low + 0.54)], coat)
    brush.ellipse(0.54, low + 0.46, 0.03, 0.035, (40, 90, 40))


def _horse(brush: Brush, thing: Thing) -> None:
    coat = _pick(_COATS, thing)
    _four_legs(brush, thing, coat, leg=0.36, long=0.38, neck=0.3)
    brush.ellipse(0.52, 0.96, 0.17, 0.09, coat)
    brush.polygon([(0.36, 1.02), (0.44, 1.02), (0.38, 1.14)], _dark(coat, 0.6))
    brush.limb(0.3, 0.62, 0.42, 1.0, 0.08, _dark(coat, 0.45))


def _bird(brush: Brush, thing: Thing) -> None:
    coat = ((60, 60, 70), (238, 238, 240), (150, 60, 50))[int(thing.tint * 3) % 3]
    if thing.pose == "flying":
        brush.polygon([(-0.1, 0.4), (-0.75, 0.95), (-0.35, 0.4)], _dark(coat))
        brush.polygon([(0.1, 0.4), (0.5, 1.0), (-0.15, 0.42)], _dark(coat, 0.85))
        brush.ellipse(0, 0.36, 0.45, 0.18, coat)
    else:
        brush.limb(-0.05, 0.3, -0.05, 0, 0.06, (190, 130, 40))
        brush.limb(0.08, 0.3, 0.08, 0, 0.06, (190, 130, 40))
        brush.ellipse(0, 0.5, 0.45, 0.28, coat)
    brush.ellipse(0.42, 0.5 if thing.pose == "flying" else 0.78, 0.17, 0.17, coat)
    beak = 0.48 if thing.pose == "flying" else 0.76
    brush.polygon([(0.55, beak + 0.08), (0.82, beak), (0.55, beak - 0.08)], (240, 170, 40))


def _car(brush: Brush, thing: Thing) -> None:
    body, glass = _pick(_CARS, thing), (176, 206, 224)
    brush.polygon([(-0.62, 0.5), (-0.42, 1.0), (0.3, 1.0), (0.62, 0.52)], _dark(body, 0.85))
    brush.polygon([(-0.48, 0.55), (-0.36, 0.92), (-0.14, 0.92), (-0.14, 0.55)], glass)
    brush.polygon([(-0.08, 0.55), (-0.08, 0.92), (0.26, 0.92), (0.5, 0.55)], glass)
    brush.polygon([(-1.0, 0.18), (-1.0, 0.52), (0.98, 0.56), (1.0, 0.18)], body)
    for x in (-0.58, 0.58):
        brush.ellipse(x, 0.18, 0.2, 0.19, (28, 28, 30))
        brush.ellipse(x, 0.18, 0.09, 0.09, (170, 170, 174))
    brush.ellipse(0.93, 0.42, 0.07, 0.08, (250, 240, 190))


def _bicycle(brush: Brush, thing: Thing) -> None:
    frame = _pick(_BRIGHT, thing)
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
    hull = _pick(_CARS, thing)
    brush.polygon([(-1.1, 0.5), (1.25, 0.56), (0.85, 0.0), (-0.85, 0.0)], hull)
    brush.polygon([(-1.1, 0.5), (1.25, 0.56), (1.2, 0.44), (-1.06, 0.38)], (240, 240, 236))


def _bench(brush: Brush, thing: Thing) -> None:
    wood = (146, 98, 54)
    for x in (-0.85, 0.85):
        brush.limb(x, 0, x, 0.95, 0.09, _dark(wood, 0.6))
    brush.polygon([(-1, 0.42), (1, 0.42), (1, 0.56), (-1, 0.56)], wood)
    brush.polygon([(-0.98, 0.72), (0.98, 0.72), (0.98, 0.96), (-0.98, 0.96)], _dark(wood, 0.85))


def _chair(brush: Brush, thing: Thing) -> None:
    wood = ((170, 120, 70), (90, 70, 60), (220, 214, 204))[int(thing.tint * 3) % 3]
    for x in (-0.26, 0.28):
        brush.limb(x, 0, x, 0.45, 0.08, _dark(wood, 0.7))
    brush.polygon([(-0.33, 0.42), (0.34, 0.42), (0.34, 0.52), (-0.33, 0.52)], wood)
    brush.polygon([(-0.34, 0.5), (-0.24, 0.5), (-0.26, 1.0), (-0.36, 1.0)], _dark(wood, 0.85))


def _couch(brush: Brush, thing: Thing) -> None:
    cloth = _pick(_CLOTH, thing)
    brush.polygon([(-0.9, 0.1), (0.9, 0.1), (0.9, 1.0), (-0.9, 1.0)], _dark(cloth, 0.8))
    brush.polygon([(-0.78, 0.1), (0.78, 0.1), (0.78, 0.48), (-0.78, 0.48)], cloth)
    for x in (-0.84, 0.84):
        brush.polygon([(x - 0.1, 0.04), (x + 0.1, 0.04), (x + 0.1, 0.66), (x - 0.1, 0.66)], _dark(cloth, 0.9))


def _table(brush: Brush, thing: Thing) -> None:
    wood = ((180, 130, 80), (120, 84, 56), (226, 220, 210))[int(thing.tint * 3) % 3]
    for x in (-0.78, 0.78):
        brush.limb(x, 0, x, 0.9, 0.1, _dark(wood, 0.65))
    brush.polygon([(-0.94, 0.86), (0.94, 0.86), (0.94, 1.0), (-0.94, 1.0)], wood)


def _ball(brush: Brush, thing: Thing) -> None:
    brush.ellipse(0, 0.5, 0.5, 0.5, _pick(_BRIGHT, thing))
    brush.ellipse(-0.12, 0.62, 0.18, 0.18, (255, 255, 255))


def _cup(brush: Brush, thing: Thing) -> None:
    colour = _pick(_BRIGHT, thing, 1)
    brush.polygon([(-0.32, 0), (0.32, 0), (0.4, 1.0), (-0.4, 1.0)], colour)
    brush.limb(0.36, 0.75, 0.62, 0.5, 0.12, colour)
    brush.polygon([(-0.4, 0.85), (0.4, 0.85), (0.4, 1.0), (-0.4, 1.0)], (250, 250, 250))


def _banana(brush: Brush, thing: Thing) -> None:
    brush.polygon([(-0.85, 0.75), (-0.5, 0.1), (0.3, 0.0), (0.9, 0.6), (0.75, 0.85), (0.2, 0.5), (-0.35, 0.55)], (248, 216, 60))


def _umbrella(brush: Brush, thing: Thing) -> None:
    colour = _pick(_BRIGHT, thing)
    brush.limb(0, -0.35, 0, 0.6, 0.05, _METAL)
    brush.polygon([(-0.7, 0.45), (-0.55, 0.75), (0, 1.0), (0.55, 0.75), (0.7, 0.45), (0.35, 0.55), (0, 0.45), (-0.35, 0.55)], colour)


def _kite(brush: Brush, thing: Thing) -> None:
    colour = _pick(_BRIGHT, thing)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 1), (-0.42, 0.62)], colour)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 0.62)], _dark(colour, 0.7))
    brush.polygon([(0, 1), (-0.42, 0.62), (0, 0.62)], _dark(colour, 0.85))


SPRITES: dict[str, Callable[[Brush, Thing], None]] = {
    "person": _person,
    "bicycle": _bicycle,
    "car": _car,
    "boat": _boat,
    "bench": _bench,
    "bird": _bird,
    "cat": _cat,
    "dog": _dog,
    "horse": _horse,
    "umbrella": _umbrella,
    "sports ball": _ball,
    "kite": _kite,
    "cup": _cup,
    "banana": _banana,
    "chair": _chair,
    "couch": _couch,
    "dining table": _table,
}
