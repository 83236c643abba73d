"""Masks as outlines: polygons with holes, in image pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from contourpy import FillType, contour_generator

from spade.structures.segment_map import boxes_and_areas

Ring = np.ndarray  # (K, 2) xy in image pixels, closed: the first point comes last again
LONGEST = 640  # pixels of the map along which outlines are looked for


def outlines(numbers: np.ndarray, count: int, longest: int = LONGEST) -> list[list[list[Ring]]]:
    """Of each of the segments 1 .. N of a numbered map (H, W): its polygons, each as its outer ring and its holes.

    Outlines run half a pixel outside of the segment's outermost pixel centres, along the pixels' edges, with corners
    cut; the map is thinned to ``longest`` pixels along its longer side before.
    """
    height, width = numbers.shape
    step = max(1, -(-max(height, width) // longest))
    thin = numbers[step // 2 :: step, step // 2 :: step] if min(height, width) > step // 2 else numbers
    scale = np.array([width / thin.shape[1], height / thin.shape[0]])
    boxes, areas = boxes_and_areas(thin, count)
    found: list[list[list[Ring]]] = []
    for number, (box, area) in enumerate(zip(boxes.tolist(), areas.tolist(), strict=True), start=1):
        found.append([] if not area else _polygons(thin, number, box, scale))
    return found


def _polygons(numbers: np.ndarray, number: int, box: Sequence[int], scale: np.ndarray) -> list[list[Ring]]:
    x1, y1, x2, y2 = box
    mask = np.zeros((y2 - y1 + 2, x2 - x1 + 2), np.float32)
    mask[1:-1, 1:-1] = numbers[y1:y2, x1:x2] == number
    lines = contour_generator(z=mask, fill_type=FillType.OuterOffset).filled(0.5, np.inf)
    limits = np.array([numbers.shape[1], numbers.shape[0]])
    polygons = []
    for points, offsets in zip(*lines, strict=True):
        places = np.clip(points + np.array([x1 - 0.5, y1 - 0.5]), 0, limits) * scale
        polygons.append([_straightened(places[a:b]) for a, b in pairwise(offsets)])
    return polygons


def _straightened(ring: np.ndarray) -> np.ndarray:
    """A ring without the points in the middle of a straight line."""
    before, after = np.roll(ring[:-1], 1, axis=0), np.roll(ring[:-1], -1, axis=0)
    ahead, behind = after - ring[:-1], ring[:-1] - before
    corners = np.abs(ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]) > 1e-9
    if corners.sum() < 3:
        return ring
    kept = ring[:-1][corners]
    return np.concatenate([kept, kept[:1]])


def path_data(polygons: Sequence[Sequence[Ring]], digits: int = 0) -> str:
    """Polygons as the ``d`` of an svg path, to be filled by the even-odd rule; coordinates rounded to ``digits``."""
    unit = 10**digits
    parts: list[str] = []
    for polygon in polygons:
        for ring in polygon:
            points = np.rint(ring[:-1] * unit).astype(np.int64)
            steps = np.diff(points, axis=0)
            steps = steps[(steps != 0).any(1)]
            if len(steps) < 2:
                continue
            body = " ".join(f"{_short(x, unit)} {_short(y, unit)}" for x, y in steps.tolist())
            parts.append(f"M{_short(int(points[0, 0]), unit)} {_short(int(points[0, 1]), unit)}l{body}z")
    return "".join(parts)


def _short(value: int, unit: int) -> str:
    return str(value) if unit == 1 else f"{value / unit:g}"
