"""Sprites of people and animals."""

from __future__ import annotations

from collections.abc import Callable

from spade.world.brush import Brush, Colour
from spade.world.layout import Thing
from spade.world.palette import BRIGHT, CATS, COATS, HAIR, SHIRTS, SKINS, TROUSERS, dark, pick


def _head(brush: Brush, thing: Thing, x: float, y: float) -> None:
    """A head in profile with a nose, or from the front with two eyes."""
    skin, hair = pick(SKINS, thing, 2), pick(HAIR, thing, 3)
    brush.ellipse(x, y, 0.095, 0.1, skin)
    if thing.facing == 0:
        brush.polygon(
            [(x - 0.1, y + 0.02), (x - 0.09, y + 0.1), (x + 0.09, y + 0.1), (x + 0.1, y + 0.02), (x, y + 0.05)], hair
        )
        for side in (-0.035, 0.035):
            brush.ellipse(x + side, y, 0.014, 0.018, (30, 26, 30))
        return
    brush.polygon(
        [(x - 0.1, y - 0.03), (x - 0.1, y + 0.1), (x + 0.06, y + 0.11), (x + 0.03, y + 0.04), (x - 0.04, y + 0.03)],
        hair,
    )
    brush.polygon([(x + 0.08, y + 0.02), (x + 0.15, y - 0.02), (x + 0.08, y - 0.03)], skin)
    brush.ellipse(x + 0.055, y + 0.02, 0.014, 0.018, (30, 26, 30))


def _person(brush: Brush, thing: Thing) -> None:
    shirt, trousers, skin = pick(SHIRTS, thing), pick(TROUSERS, thing, 1), pick(SKINS, thing, 2)
    if thing.inside is not None:
        brush.polygon([(-0.1, 0.0), (0.1, 0.0), (0.1, 0.14), (-0.1, 0.14)], shirt)
        _head(brush, thing, 0, 0.22)
        return
    if thing.pose == "lying":
        brush.limb(-0.45, 0.08, -0.02, 0.08, 0.12, trousers)
        brush.limb(0.0, 0.09, 0.26, 0.09, 0.15, shirt)
        brush.ellipse(0.42, 0.1, 0.095, 0.095, skin)
        brush.polygon([(0.44, 0.19), (0.52, 0.16), (0.52, 0.04), (0.44, 0.01)], pick(HAIR, thing, 3))
        return
    seat = 0.46
    if thing.pose in ("sitting", "riding"):
        seat = 0.12
        brush.limb(-0.02, seat, 0.18, seat, 0.11, trousers)
        brush.limb(0.18, seat + 0.02, 0.18, (0.02 if thing.on is None else seat - 0.28), 0.09, trousers)
    elif thing.act == "kicking":
        brush.limb(0, seat, -0.06, 0, 0.10, dark(trousers, 0.8))
        brush.limb(0, seat, 0.30, 0.16, 0.10, trousers)
    elif thing.pose == "running":
        brush.limb(0, seat, 0.2, 0.24, 0.10, trousers)
        brush.limb(0.2, 0.24, 0.16, 0.02, 0.08, trousers)
        brush.limb(0, seat, -0.12, 0.2, 0.10, dark(trousers, 0.8))
        brush.limb(-0.12, 0.2, -0.24, 0.3, 0.08, dark(trousers, 0.8))
    else:
        wide = thing.tint * 31 % 1 < 0.5  # some stand with their feet apart
        stride = 0.18 if thing.pose == "walking" else 0.17 if wide else 0.05
        if thing.pose == "walking":  # the foot behind leaves the ground by its heel
            brush.limb(-stride, 0.02, -stride - 0.05, 0.08, 0.08, dark(trousers, 0.8))
        brush.limb(0, seat, stride, 0, 0.10, trousers)
        brush.limb(0, seat, -stride, 0, 0.10, dark(trousers, 0.8))
    lean = 0.08 if thing.pose == "running" else 0.0
    top = seat + 0.34
    if thing.pose in ("standing", "walking", "running") and thing.tint * 57 % 1 < 0.45:  # a rucksack
        pack = [(-0.1, seat + 0.06), (-0.24 + lean / 2, seat + 0.04), (-0.26 + lean, top - 0.06), (-0.1 + lean, top)]
        brush.polygon(pack, dark(pick(BRIGHT, thing, 4), 0.7))
    brush.polygon([(-0.11, seat), (0.11, seat), (0.13 + lean, top), (-0.13 + lean, top)], shirt)
    _arm(brush, thing, seat, lean, shirt)
    _head(brush, thing, lean, seat + 0.45)


def _arm(brush: Brush, thing: Thing, seat: float, lean: float, shirt: Colour) -> None:
    """The near arm: raised in talk, forward when it holds, bent when running, else along the body."""
    sleeve, skin, shoulder = dark(shirt, 0.85), pick(SKINS, thing, 2), seat + 0.3
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


def _four_legs(
    brush: Brush, thing: Thing, coat: Colour, leg: float, long: float, neck: float, thick: float = 0.18
) -> None:
    """Body, legs after the pose, neck and head to the front."""
    low = 0.0 if thing.pose == "lying" else leg
    if thing.pose == "lying":
        brush.limb(-long, 0.05, long + 0.1, 0.05, 0.1, dark(coat))
    elif thing.pose == "sitting":
        brush.limb(long * 0.75, 0, long * 0.75, leg + 0.2, 0.1, dark(coat))
        brush.ellipse(-long * 0.6, 0.2, 0.22, 0.2, coat)
    elif thing.pose == "running":
        for x, reach, side in (
            (long * 0.8, 0.34, 1),
            (long * 0.6, 0.2, -1),
            (-long * 0.8, -0.34, 1),
            (-long * 0.6, -0.2, -1),
        ):
            brush.limb(x, leg + 0.1, x + reach, leg * 0.35, 0.09, coat if side > 0 else dark(coat))
    else:
        stride = 0.14 if thing.pose == "walking" else 0.03
        for x, side in ((-long * 0.8, 1), (long * 0.8, 1), (-long * 0.8, -1), (long * 0.8, -1)):
            brush.limb(x, leg + 0.1, x + side * stride, 0, 0.09, coat if side > 0 else dark(coat))
    if thing.pose == "sitting":
        brush.polygon(
            [(-long, 0.12), (-long * 0.3, 0.02), (long, leg + 0.06), (long * 0.9, leg + 0.4), (long * 0.4, leg + 0.38)],
            coat,
        )
        brush.limb(-long * 0.9, 0.1, -long - 0.18, 0.16, 0.06, dark(coat, 0.6))
    else:
        brush.ellipse(0, low + thick, long + 0.1, thick, coat)
        brush.limb(-long, low + thick + 0.06, -long - 0.2, low + (0.4 if neck < 0.3 else 0.05), 0.06, dark(coat, 0.6))
    brush.polygon(
        [
            (long * 0.6, low + 0.2),
            (long, low + 0.14),
            (long + 0.16, low + 0.3 + neck),
            (long - 0.04, low + 0.34 + neck),
        ],
        coat,
    )


def _dog(brush: Brush, thing: Thing) -> None:
    coat, low = pick(COATS, thing), 0.0 if thing.pose == "lying" else 0.3
    _four_legs(brush, thing, coat, leg=0.3, long=0.42, neck=0.12)
    brush.ellipse(0.56, low + 0.42, 0.17, 0.1, coat)
    brush.polygon([(0.42, low + 0.48), (0.5, low + 0.5), (0.4, low + 0.3)], dark(coat, 0.6))
    brush.ellipse(0.7, low + 0.42, 0.04, 0.04, (20, 20, 22))


def _cat(brush: Brush, thing: Thing) -> None:
    coat, low = pick(CATS, thing), 0.0 if thing.pose == "lying" else 0.22
    _four_legs(brush, thing, coat, leg=0.22, long=0.34, neck=0.1, thick=0.15)
    brush.limb(-0.4, low + 0.2, -0.52, low + 0.66, 0.08, coat)
    brush.ellipse(0.46, low + 0.44, 0.16, 0.15, coat)
    for x in (0.36, 0.5):
        brush.polygon([(x, low + 0.54), (x + 0.05, low + 0.74), (x + 0.12, low + 0.54)], coat)
    brush.ellipse(0.54, low + 0.46, 0.03, 0.035, (40, 90, 40))


def _horse(brush: Brush, thing: Thing) -> None:
    coat = pick(COATS, thing)
    _four_legs(brush, thing, coat, leg=0.36, long=0.38, neck=0.3)
    brush.ellipse(0.52, 0.96, 0.17, 0.09, coat)
    brush.polygon([(0.36, 1.02), (0.44, 1.02), (0.38, 1.14)], dark(coat, 0.6))
    brush.limb(0.3, 0.62, 0.42, 1.0, 0.08, dark(coat, 0.45))


def _bird(brush: Brush, thing: Thing) -> None:
    coat = ((60, 60, 70), (238, 238, 240), (150, 60, 50))[int(thing.tint * 3) % 3]
    if thing.pose == "flying":
        brush.polygon([(-0.1, 0.4), (-0.75, 0.95), (-0.35, 0.4)], dark(coat))
        brush.polygon([(0.1, 0.4), (0.5, 1.0), (-0.15, 0.42)], dark(coat, 0.85))
        brush.ellipse(0, 0.36, 0.45, 0.18, coat)
    else:
        brush.limb(-0.05, 0.3, -0.05, 0, 0.06, (190, 130, 40))
        brush.limb(0.08, 0.3, 0.08, 0, 0.06, (190, 130, 40))
        brush.ellipse(0, 0.5, 0.45, 0.28, coat)
    brush.ellipse(0.42, 0.5 if thing.pose == "flying" else 0.78, 0.17, 0.17, coat)
    beak = 0.48 if thing.pose == "flying" else 0.76
    brush.polygon([(0.55, beak + 0.08), (0.82, beak), (0.55, beak - 0.08)], (240, 170, 40))


LIVING_SPRITES: dict[str, Callable[[Brush, Thing], None]] = {
    "person": _person,
    "bird": _bird,
    "cat": _cat,
    "dog": _dog,
    "horse": _horse,
}
