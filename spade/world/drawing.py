"""A layout's picture and its panoptic map, painted from the back to the front.

Both come from the same shapes: the picture is painted at twice its size and averaged, the map is painted at
twice its size and sampled, so that a segment's pixels are exactly those that the picture shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from spade.world.layout import Scene, Thing
from spade.world.rules import stuff_of

SCALE = 2  # supersampling
Colour = tuple[int, int, int]

_STUFF_COLOUR: dict[str, Colour] = {
    "sky-other-merged": (150, 192, 232),
    "mountain-merged": (126, 122, 140),
    "sea": (52, 112, 160),
    "grass-merged": (98, 156, 72),
    "sand": (220, 200, 148),
    "road": (112, 112, 116),
}
_GRAIN = {"sky-other-merged": 0.04, "mountain-merged": 0.12, "sea": 0.10, "grass-merged": 0.14, "sand": 0.06, "road": 0.05}
_SHIRTS: tuple[Colour, ...] = ((200, 48, 52), (46, 84, 190), (236, 196, 60), (240, 240, 240), (120, 60, 150))
_CARS: tuple[Colour, ...] = ((196, 40, 40), (40, 80, 180), (230, 230, 232), (52, 54, 60), (240, 170, 40))
_COATS: tuple[Colour, ...] = ((120, 78, 44), (60, 44, 36), (176, 132, 84), (210, 204, 196))
_BRIGHT: tuple[Colour, ...] = ((236, 64, 120), (250, 150, 30), (70, 200, 190), (250, 230, 70))
_SKIN: Colour = (232, 186, 150)


@dataclass(frozen=True)
class Drawing:
    """``image`` (H, W, 3) uint8; ``segments`` (H, W) uint8: 0 void, else 1 + the node's number in ``nodes_of``."""

    image: np.ndarray
    segments: np.ndarray


class _Brush:
    """Paints one shape on picture and map at once; unit coordinates have x to the front, y up from the feet."""

    def __init__(self, scene: Scene) -> None:
        size = (scene.width * SCALE, scene.height * SCALE)
        self.image, self.ids = Image.new("RGB", size), Image.new("L", size)
        self._paint, self._mark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.ids)
        self.identity = 0

    def place(self, scene: Scene, thing: Thing, identity: int) -> None:
        """Set the frame of the shapes to come: origin at the thing's lowest point, unit = its height."""
        self.identity = identity
        self._unit = scene.size(thing)[1] * scene.unit * SCALE
        self._x = thing.x * scene.width * SCALE
        self._y = scene.ground_y(thing.depth) * scene.height * SCALE - thing.altitude * scene.unit * SCALE
        self._facing = thing.facing

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Unit coordinates to supersampled pixels."""
        return self._x + self._facing * x * self._unit, self._y - y * self._unit

    def polygon(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon in unit coordinates."""
        points = [self.point(x, y) for x, y in corners]
        self._paint.polygon(points, fill=colour)
        self._mark.polygon(points, fill=self.identity)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """A filled ellipse around (x, y)."""
        (cx, cy), a, b = self.point(x, y), rx * self._unit, ry * self._unit
        box = (cx - a, cy - b, cx + a, cy + b)
        self._paint.ellipse(box, fill=colour)
        self._mark.ellipse(box, fill=self.identity)

    def limb(self, x1: float, y1: float, x2: float, y2: float, width: float, colour: Colour) -> None:
        """A straight limb; at least one pixel of the final picture wide."""
        points, thick = [self.point(x1, y1), self.point(x2, y2)], max(SCALE, round(width * self._unit))
        self._paint.line(points, fill=colour, width=thick)
        self._mark.line(points, fill=self.identity, width=thick)

    def line_px(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A thin line in supersampled pixels that belongs to the current segment."""
        self._paint.line(points, fill=colour, width=SCALE)
        self._mark.line(points, fill=self.identity, width=SCALE)

    def shadow(self, scene: Scene, thing: Thing) -> None:
        """A dark ellipse on the ground; part of the picture, of no segment."""
        half = scene.size(thing)[0] / 2 * scene.unit * SCALE
        x, y = thing.x * scene.width * SCALE, scene.ground_y(thing.depth) * scene.height * SCALE
        box = (int(x - half), int(y - half * 0.16), int(x + half), int(y + half * 0.16))
        if box[2] > box[0] and box[3] > box[1]:
            region = self.image.crop(box)
            mask = Image.new("L", region.size)
            ImageDraw.Draw(mask).ellipse((0, 0, region.width - 1, region.height - 1), fill=110)
            region.paste((20, 24, 20), mask=mask)
            self.image.paste(region, box[:2])


def draw(scene: Scene) -> Drawing:
    """Paint a scene."""
    brush = _Brush(scene)
    _draw_stuff(brush, scene)
    order = sorted(range(len(scene.things)), key=lambda index: (scene.things[index].depth, scene.things[index].on is not None))
    for index in order:
        thing = scene.things[index]
        if thing.on is None and thing.altitude == 0:
            brush.shadow(scene, thing)
        brush.place(scene, thing, index + 1)
        _SPRITES[thing.label](brush, thing)
        if thing.holds is not None:
            _draw_string(brush, scene, thing)
    ids = np.asarray(brush.ids)[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
    small = brush.image.resize((scene.width, scene.height), Image.Resampling.BOX)
    return Drawing(_light(np.asarray(small, np.float32), ids, scene), ids.copy())


def _draw_stuff(brush: _Brush, scene: Scene) -> None:
    width, height = brush.image.size
    paint, mark = ImageDraw.Draw(brush.image), ImageDraw.Draw(brush.ids)
    number = {region.label: len(scene.things) + 1 + i for i, region in enumerate(stuff_of(scene))}
    paint.rectangle((0, 0, width, height), fill=_STUFF_COLOUR["sky-other-merged"])
    mark.rectangle((0, 0, width, height), fill=number["sky-other-merged"])
    if scene.mountain:
        shape = np.random.default_rng(scene.texture_seed)
        xs = np.linspace(-0.05, 1.05, 9)
        ys = scene.horizon * shape.uniform(0.42, 0.85, len(xs))
        outline = [(x * width, y * height) for x, y in zip(xs, ys, strict=True)]
        ridge = [*outline, (width * 1.05, scene.horizon * height + 2), (-width * 0.05, scene.horizon * height + 2)]
        paint.polygon(ridge, fill=_STUFF_COLOUR["mountain-merged"])
        mark.polygon(ridge, fill=number["mountain-merged"])
    top = 0.0
    for band in scene.bands:
        box = (0, scene.ground_y(top) * height, width, scene.ground_y(band.near_edge) * height)
        paint.rectangle(box, fill=_STUFF_COLOUR[band.label])
        mark.rectangle(box, fill=number[band.label])
        if band.label == "road":
            middle, dash = (box[1] + box[3]) / 2, width / 9
            for start in np.arange(0, width, 2 * dash):
                paint.rectangle((start, middle - SCALE, start + dash, middle + SCALE), fill=(226, 220, 190))
        top = band.near_edge


def _draw_string(brush: _Brush, scene: Scene, holder: Thing) -> None:
    """The kite's string, from its lower tip to the holder's raised hand; it belongs to the kite."""
    assert holder.holds is not None
    kite = scene.things[holder.holds]
    hand = brush.point(0.30, 0.74)
    brush.place(scene, kite, holder.holds + 1)
    brush.line_px([brush.point(0, 0), hand], (40, 40, 44))


def _light(image: np.ndarray, ids: np.ndarray, scene: Scene) -> np.ndarray:
    """Grain by material, the light's strength and its warmth."""
    rng = np.random.default_rng(scene.texture_seed + 1)
    fine = rng.standard_normal(ids.shape).astype(np.float32)
    coarse = np.asarray(
        Image.fromarray(rng.standard_normal((9, 9)).astype(np.float32)).resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    )
    amount = np.full(256, 0.03, np.float32)
    for i, region in enumerate(stuff_of(scene)):
        amount[len(scene.things) + 1 + i] = _GRAIN[region.label]
    shade = 1 + amount[ids] * (0.25 * fine + 0.6 * coarse)
    tint = np.array([1 + 0.05 * scene.warmth, 1.0, 1 - 0.05 * scene.warmth], np.float32)
    lit = image * shade[..., None] * (scene.light * tint)
    return np.clip(lit + 0.5, 0, 255).astype(np.uint8)


def _pick(colours: tuple[Colour, ...], thing: Thing) -> Colour:
    return colours[int(thing.tint * len(colours)) % len(colours)]


def _dark(colour: Colour, by: float = 0.7) -> Colour:
    return (int(colour[0] * by), int(colour[1] * by), int(colour[2] * by))


def _person(brush: _Brush, thing: Thing) -> None:
    shirt, trousers = _pick(_SHIRTS, thing), (52, 60, 92)
    if thing.pose == "lying":
        brush.limb(-0.42, 0.08, 0.02, 0.08, 0.12, trousers)
        brush.limb(0.0, 0.09, 0.32, 0.09, 0.16, shirt)
        brush.ellipse(0.42, 0.1, 0.095, 0.095, _SKIN)
        return
    if thing.pose in ("sitting", "riding"):
        seat = 0.12
        brush.limb(-0.02, seat, 0.2, seat, 0.11, trousers)
        brush.limb(0.2, seat + 0.03, 0.2, seat - 0.28, 0.09, trousers)
    else:
        seat = 0.46
        stride = 0.17 if thing.pose == "walking" else 0.05
        brush.limb(0, seat, stride, 0, 0.10, trousers)
        brush.limb(0, seat, -stride, 0, 0.10, _dark(trousers, 0.8))
    brush.polygon([(-0.11, seat), (0.11, seat), (0.13, seat + 0.34), (-0.13, seat + 0.34)], shirt)
    if thing.holds is not None:
        brush.limb(0.08, seat + 0.3, 0.3, 0.76, 0.07, _dark(shirt, 0.85))
    elif thing.pose == "riding":
        brush.limb(0.05, seat + 0.28, 0.26, seat + 0.12, 0.07, _dark(shirt, 0.85))
    else:
        swing = 0.14 if thing.pose == "walking" else 0.04
        brush.limb(0.02, seat + 0.3, swing, seat + 0.04, 0.07, _dark(shirt, 0.85))
    head = seat + 0.45
    brush.ellipse(0, head, 0.095, 0.1, _SKIN)
    brush.polygon([(-0.1, head + 0.01), (-0.1, head + 0.1), (0.06, head + 0.11), (0.03, head + 0.04), (-0.04, head + 0.03)], (70, 48, 34))
    brush.polygon([(0.08, head + 0.02), (0.14, head - 0.02), (0.08, head - 0.03)], _SKIN)


def _four_legs(brush: _Brush, thing: Thing, coat: Colour, leg: float, long: float, neck: float) -> None:
    """A dog or a horse: body, legs after the pose, neck and head to the front."""
    stride = 0.16 if thing.pose == "walking" else 0.03
    low = 0.0 if thing.pose == "lying" else leg
    if thing.pose == "lying":
        brush.limb(-long, 0.05, long + 0.1, 0.05, 0.1, _dark(coat))
    elif thing.pose == "sitting":
        brush.limb(long * 0.75, 0, long * 0.75, leg + 0.2, 0.1, _dark(coat))
        brush.ellipse(-long * 0.6, 0.2, 0.22, 0.2, coat)
    else:
        for x, side in ((-long * 0.8, 1), (long * 0.8, 1), (-long * 0.8, -1), (long * 0.8, -1)):
            brush.limb(x, leg + 0.1, x + side * stride, 0, 0.09, coat if side > 0 else _dark(coat))
    if thing.pose == "sitting":
        brush.polygon([(-long, 0.12), (-long * 0.3, 0.02), (long, leg + 0.06), (long * 0.9, leg + 0.4), (long * 0.4, leg + 0.38)], coat)
    else:
        brush.ellipse(0, low + 0.18, long + 0.1, 0.18, coat)
    brush.limb(-long - 0.04, low + 0.26, -long - 0.2, low + (0.38 if neck < 0.3 else 0.05), 0.06, _dark(coat, 0.6))
    brush.polygon([(long * 0.6, low + 0.2), (long, low + 0.14), (long + 0.16, low + 0.3 + neck), (long - 0.04, low + 0.34 + neck)], coat)
    brush.ellipse(long + 0.14, low + 0.3 + neck, 0.17, 0.1, coat)
    brush.polygon([(long, low + 0.36 + neck), (long + 0.08, low + 0.36 + neck), (long + 0.02, low + 0.5 + neck)], _dark(coat, 0.6))


def _dog(brush: _Brush, thing: Thing) -> None:
    _four_legs(brush, thing, _pick(_COATS, thing), leg=0.3, long=0.42, neck=0.12)


def _horse(brush: _Brush, thing: Thing) -> None:
    coat = _pick(_COATS, thing)
    _four_legs(brush, thing, coat, leg=0.36, long=0.38, neck=0.3)
    brush.limb(0.3, 0.62, 0.44, 1.0, 0.08, _dark(coat, 0.45))


def _bird(brush: _Brush, thing: Thing) -> None:
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


def _car(brush: _Brush, thing: Thing) -> None:
    body = _pick(_CARS, thing)
    if thing.pose == "driving":
        for y, back in ((0.2, 1.5), (0.42, 1.35), (0.62, 1.2)):
            brush.limb(-1.05, y, -back, y, 0.05, (236, 236, 236))
    brush.polygon([(-0.62, 0.5), (-0.4, 1.0), (0.3, 1.0), (0.62, 0.52)], _dark(body, 0.85))
    brush.polygon([(-0.46, 0.55), (-0.34, 0.9), (-0.06, 0.9), (-0.06, 0.55)], (186, 214, 230))
    brush.polygon([(0.02, 0.55), (0.02, 0.9), (0.26, 0.9), (0.48, 0.55)], (186, 214, 230))
    brush.polygon([(-1.0, 0.18), (-1.0, 0.52), (0.98, 0.56), (1.0, 0.18)], body)
    for x in (-0.58, 0.58):
        brush.ellipse(x, 0.18, 0.2, 0.19, (28, 28, 30))
        brush.ellipse(x, 0.18, 0.09, 0.09, (170, 170, 174))
    lit = (255, 250, 190) if thing.pose == "driving" else (150, 150, 140)
    brush.ellipse(0.93, 0.42, 0.07, 0.08, lit)


def _bench(brush: _Brush, thing: Thing) -> None:
    wood = (146, 98, 54)
    for x in (-0.85, 0.85):
        brush.limb(x, 0, x, 0.95, 0.09, _dark(wood, 0.6))
    brush.polygon([(-1, 0.42), (1, 0.42), (1, 0.56), (-1, 0.56)], wood)
    brush.polygon([(-0.98, 0.72), (0.98, 0.72), (0.98, 0.96), (-0.98, 0.96)], _dark(wood, 0.85))


def _ball(brush: _Brush, thing: Thing) -> None:
    colour = _pick(_BRIGHT, thing)
    brush.ellipse(0, 0.5, 0.5, 0.5, colour)
    brush.ellipse(-0.12, 0.62, 0.18, 0.18, (255, 255, 255))


def _kite(brush: _Brush, thing: Thing) -> None:
    colour = _pick(_BRIGHT, thing)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 1), (-0.42, 0.62)], colour)
    brush.polygon([(0, 0), (0.42, 0.62), (0, 0.62)], _dark(colour, 0.7))
    brush.polygon([(0, 1), (-0.42, 0.62), (0, 0.62)], _dark(colour, 0.85))


_SPRITES = {
    "person": _person,
    "dog": _dog,
    "horse": _horse,
    "bird": _bird,
    "car": _car,
    "bench": _bench,
    "sports ball": _ball,
    "kite": _kite,
}
