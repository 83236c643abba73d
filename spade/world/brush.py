"""Paints one shape on the image and on the panoptic map at once."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from spade.world.layout import Scene, Thing

SCALE = 2  # supersampling
Colour = tuple[int, int, int]
Point = tuple[float, float]


class Brush:
    """Unit coordinates have x to the front, y up from the lowest point; the unit is the thing's standing height."""

    def __init__(self, scene: Scene) -> None:
        size = (scene.width * SCALE, scene.height * SCALE)
        self.image, self.ids = Image.new("RGB", size), Image.new("L", size)
        self._paint, self._mark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.ids)
        self.identity = 0

    def place(self, scene: Scene, thing: Thing, identity: int, height: float) -> None:
        """Set the frame of the shapes to come; ``height`` is the unit as a share of the image's shorter side."""
        self.identity = identity
        self._unit = height * scene.unit * SCALE
        self._x = thing.x * scene.width * SCALE
        self._y = scene.ground_y(thing.depth) * scene.height * SCALE - thing.altitude * scene.unit * SCALE
        self._facing = thing.facing or 1

    def point(self, x: float, y: float) -> Point:
        """Unit coordinates to supersampled pixels."""
        return self._x + self._facing * x * self._unit, self._y - y * self._unit

    def polygon(self, corners: list[Point], colour: Colour) -> None:
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
        """A straight limb with round ends; at least one pixel of the final image wide."""
        points, thick = [self.point(x1, y1), self.point(x2, y2)], max(SCALE, round(width * self._unit))
        self._paint.line(points, fill=colour, width=thick)
        self._mark.line(points, fill=self.identity, width=thick)
        for x, y in points if thick > 2 * SCALE else ():
            box = (x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2)
            self._paint.ellipse(box, fill=colour)
            self._mark.ellipse(box, fill=self.identity)

    def line_px(self, points: list[Point], colour: Colour) -> None:
        """A thin line in supersampled pixels that belongs to the current segment."""
        self._paint.line(points, fill=colour, width=SCALE)
        self._mark.line(points, fill=self.identity, width=SCALE)

    def band(self, box: tuple[float, float, float, float], colour: Colour, identity: int | None = None) -> None:
        """A rectangle in supersampled pixels; without an identity only the image is painted."""
        self._paint.rectangle(box, fill=colour)
        if identity is not None:
            self._mark.rectangle(box, fill=identity)

    def shape_px(self, points: list[Point], colour: Colour, identity: int | None = None) -> None:
        """A polygon in supersampled pixels; without an identity only the image is painted."""
        self._paint.polygon(points, fill=colour)
        if identity is not None:
            self._mark.polygon(points, fill=identity)

    def shadow(self, scene: Scene, thing: Thing) -> None:
        """A dark ellipse on the ground; part of the image, of no segment."""
        half = scene.size(thing)[0] / 2 * scene.unit * SCALE
        x, y = thing.x * scene.width * SCALE, scene.ground_y(thing.depth) * scene.height * SCALE
        box = (int(x - half), int(y - half * 0.16), int(x + half), int(y + half * 0.16))
        if box[2] > box[0] and box[3] > box[1]:
            region = self.image.crop(box)
            mask = Image.new("L", region.size)
            ImageDraw.Draw(mask).ellipse((0, 0, region.width - 1, region.height - 1), fill=110)
            region.paste((20, 24, 20), mask=mask)
            self.image.paste(region, box[:2])

    def finished(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """The image (H, W, 3) float32, averaged, and the map (H, W) uint8, sampled."""
        ids = np.asarray(self.ids)[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
        small = self.image.resize((width, height), Image.Resampling.BOX)
        return np.asarray(small, np.float32), ids.copy()
