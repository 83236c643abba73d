"""A layout's image and its panoptic map, painted from the back to the front.

Both come from the same shapes: the image is painted at twice its size and averaged, the map is painted at
twice its size and sampled, so that a segment's pixels are exactly those that the image shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from spade.world.brush import SCALE, Brush, Colour
from spade.world.layout import SIZE, Scene, Thing
from spade.world.regions import stuff_of
from spade.world.sprites import SPRITES

_STUFF: dict[str, tuple[Colour, ...]] = {  # one of several colours a scene
    "sky-other-merged": ((150, 192, 232), (186, 200, 214), (236, 190, 160), (120, 160, 220)),
    "mountain-merged": ((126, 122, 140), (150, 136, 120), (110, 130, 120)),
    "sea": ((52, 112, 160), (60, 140, 150), (70, 96, 130)),
    "grass-merged": ((98, 156, 72), (130, 150, 70), (84, 136, 84)),
    "sand": ((220, 200, 148), (206, 186, 150), (230, 214, 180)),
    "road": ((112, 112, 116), (92, 92, 96), (130, 124, 118)),
    "wall-other-merged": ((222, 210, 190), (190, 206, 210), (214, 190, 186), (200, 200, 176)),
    "floor-wood": ((166, 124, 84), (138, 104, 76), (190, 156, 116)),
}

_GRAIN = {"mountain-merged": 0.12, "sea": 0.10, "grass-merged": 0.14, "sand": 0.06, "road": 0.05, "floor-wood": 0.06}


@dataclass(frozen=True)
class Drawing:
    """``image`` (H, W, 3) uint8; ``segments`` (H, W) uint8: 0 void, else 1 + the node's number in ``nodes_of``."""

    image: np.ndarray
    segments: np.ndarray


def draw(scene: Scene) -> Drawing:
    """Paint a scene."""
    brush = Brush(scene)
    _draw_stuff(brush, scene)
    for index in _order(scene):
        thing = scene.things[index]
        if thing.on is None and thing.inside is None and thing.altitude == 0 and thing.pose != "floating":
            brush.shadow(scene, thing)
        brush.place(scene, thing, index + 1, SIZE[thing.label][0] * thing.depth * thing.scale)
        SPRITES[thing.label](brush, thing)
        if thing.holds is not None and scene.things[thing.holds].label == "kite":
            _draw_string(brush, scene, thing)
    image, ids = brush.finished(scene.width, scene.height)
    return Drawing(_light(image, ids, scene), ids)


def _order(scene: Scene) -> list[int]:
    """From the back to the front; what is carried, held or inside right after what carries, holds or encloses it."""
    holder = {thing.holds: i for i, thing in enumerate(scene.things) if thing.holds is not None}

    def rank(index: int) -> tuple[float, int, int]:
        thing = scene.things[index]
        if index in holder and thing.label != "kite":
            index_of_holder = holder[index]
            depth, layer, _ = rank(index_of_holder)
            return depth, layer + 1, index
        carrier = thing.on if thing.on is not None else thing.inside
        if carrier is not None:
            depth, layer, _ = rank(carrier)
            return depth, layer + 1, index
        return thing.depth, 0, index

    return sorted(range(len(scene.things)), key=rank)


def _draw_stuff(brush: Brush, scene: Scene) -> None:
    width, height = brush.image.size
    choice = np.random.default_rng(scene.texture_seed)
    number = {region.label: len(scene.things) + 1 + i for i, region in enumerate(stuff_of(scene))}

    def colour(label: str) -> Colour:
        options = _STUFF[label]
        return options[int(choice.integers(len(options)))]

    brush.band((0, 0, width, height), colour(scene.back), number[scene.back])
    if scene.mountain:
        xs = np.linspace(-0.05, 1.05, 9)
        ys = scene.horizon * choice.uniform(0.42, 0.85, len(xs))
        outline = [(x * width, y * height) for x, y in zip(xs, ys, strict=True)]
        ridge = [*outline, (width * 1.05, scene.horizon * height + 2), (-width * 0.05, scene.horizon * height + 2)]
        brush.shape_px(ridge, colour("mountain-merged"), number["mountain-merged"])
    top = 0.0
    painted: dict[str, Colour] = {}
    for band in scene.bands:
        painted.setdefault(band.label, colour(band.label))
        box = (0.0, scene.ground_y(top) * height, float(width), scene.ground_y(band.near_edge) * height)
        brush.band(box, painted[band.label], number[band.label])
        _marks(brush, band.label, box)
        top = band.near_edge


def _marks(brush: Brush, label: str, box: tuple[float, float, float, float]) -> None:
    """What makes a material: dashes on a road, planks of a floor."""
    left, top, right, bottom = box
    if label == "road":
        middle, dash = (top + bottom) / 2, (right - left) / 9
        for start in np.arange(left, right, 2 * dash):
            brush.band((start, middle - SCALE, start + dash, middle + SCALE), (226, 220, 190))
    if label == "floor-wood":
        for share in np.linspace(-1.5, 2.5, 17):
            far, near = left + (0.5 + (share - 0.5) * 0.6) * (right - left), left + share * (right - left)
            brush.shape_px([(far, top), (far + 1, top), (near + 2, bottom), (near, bottom)], (110, 80, 54))


def _draw_string(brush: Brush, scene: Scene, holder: Thing) -> None:
    """The kite's string, from its lower tip to the holder's hand; it belongs to the kite."""
    assert holder.holds is not None
    kite = scene.things[holder.holds]
    hand = brush.point(0.26, 0.62)
    brush.place(scene, kite, holder.holds + 1, SIZE["kite"][0] * kite.depth * kite.scale)
    brush.line_px([brush.point(0, 0), hand], (40, 40, 44))


def _light(image: np.ndarray, ids: np.ndarray, scene: Scene) -> np.ndarray:
    """Grain by material, the light's strength and its warmth, and a slope of light across the image."""
    rng = np.random.default_rng(scene.texture_seed + 1)
    fine = rng.standard_normal(ids.shape).astype(np.float32)
    coarse = np.asarray(
        Image.fromarray(rng.standard_normal((9, 9)).astype(np.float32)).resize(
            (scene.width, scene.height), Image.Resampling.BICUBIC
        )
    )
    amount = np.full(256, 0.03, np.float32)
    for i, region in enumerate(stuff_of(scene)):
        amount[len(scene.things) + 1 + i] = _GRAIN.get(region.label, 0.04)
    slope = 1 + 0.12 * float(rng.uniform(-1, 1)) * np.linspace(-1, 1, scene.width, dtype=np.float32)[None]
    shade = slope * (1 + amount[ids] * (0.25 * fine + 0.6 * coarse))
    tint = np.array([1 + 0.05 * scene.warmth, 1.0, 1 - 0.05 * scene.warmth], np.float32)
    lit = image * shade[..., None] * (scene.light * tint)
    return np.clip(lit + 0.5, 0, 255).astype(np.uint8)
