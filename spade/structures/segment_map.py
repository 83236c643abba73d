"""Maps of segments: boxes, areas and masks of ALL segments of an image in one pass over its pixels.

A numbered map (H, W) holds n where the n-th segment is, counted from 1, and 0 elsewhere; a panoptic map holds ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spade.structures.scene_graph import Segment


def numbered(ids: np.ndarray, identities: Sequence[int]) -> np.ndarray:
    """A panoptic map (H, W) as a numbered map (H, W) int64; ids that are not among ``identities`` become 0."""
    most = max(int(ids.max(initial=0)), max(identities, default=0))
    table = np.zeros(most + 1, np.int64)
    table[list(identities)] = np.arange(1, len(identities) + 1)
    return table[ids]


def boxes_and_areas(numbers: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) int64 xyxy, x2 and y2 exclusive, and areas (N,) in pixels of the segments 1 .. N of a numbered map.

    A segment without a pixel has an empty box, all zeros, and area 0.
    """
    height, width = numbers.shape
    numbers = np.where(numbers <= count, numbers, 0)
    areas = np.bincount(numbers.ravel(), minlength=count + 1)[1 : count + 1]
    # Runs of equal pixels, row by row: few, so that their corners can be gathered one by one.
    starts = np.zeros((height, width), bool)
    starts[:, :1] = True
    starts[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
    place = np.flatnonzero(starts)
    places = numbers.ravel()[place]
    ends = np.append(place[1:], height * width)
    rows, left = np.divmod(place, width) if width else (place, place)
    right = left + ends - place
    boxes = np.zeros((count + 1, 4), np.int64)
    boxes[:, :2] = max(height, width)
    for column, values, fold in ((0, left, np.minimum), (1, rows, np.minimum), (2, right, np.maximum)):
        fold.at(boxes[:, column], places, values)
    np.maximum.at(boxes[:, 3], places, rows + 1)
    boxes = boxes[1:]
    boxes[areas == 0] = 0
    return boxes, areas


def centroids(numbers: np.ndarray, count: int) -> np.ndarray:
    """Centres of mass (N, 2) float64 xy, in pixels (a pixel's own centre is at .5), of the segments 1 .. N of a
    numbered map; NaN for one without a pixel.
    """
    height, width = numbers.shape
    flat = np.where(numbers <= count, numbers, 0).ravel()
    areas = np.bincount(flat, minlength=count + 1)
    places = (np.tile(np.arange(width), height), np.repeat(np.arange(height), width))
    sums = np.stack([np.bincount(flat, place, minlength=count + 1) for place in places], axis=1)
    with np.errstate(invalid="ignore"):
        return (sums / areas[:, None] + 0.5)[1 : count + 1]


def anchors(numbers: np.ndarray, count: int, cells: int = 56) -> np.ndarray:
    """A point (N, 2) float64 xy in pixels well inside each of the segments 1 .. N of a numbered map, where a name can
    be written; NaN for one without a pixel.

    Looked for on a grid of at most ``cells`` cells a side: the cell that is farthest from the segment's edge, and of
    those the one nearest to its centre.
    """
    height, width = numbers.shape
    step = max(1, -(-max(height, width) // cells))
    grid = numbers[step // 2 :: step, step // 2 :: step] if min(height, width) > step // 2 else numbers
    points = centroids(numbers, count)
    masks = np.zeros((count, grid.shape[0] + 2, grid.shape[1] + 2), bool)
    rows, columns = np.nonzero((grid > 0) & (grid <= count))
    masks[grid[rows, columns] - 1, rows + 1, columns + 1] = True
    depth = np.zeros(masks.shape, np.int16)
    while masks.any():
        depth += masks
        inner = masks[:, 1:-1, 1:-1]
        shrunk = inner & masks[:, :-2, 1:-1] & masks[:, 2:, 1:-1] & masks[:, 1:-1, :-2] & masks[:, 1:-1, 2:]
        masks = np.zeros_like(masks)
        masks[:, 1:-1, 1:-1] = shrunk
    for number in range(count):
        inside = depth[number]
        deepest = int(inside.max())
        if not deepest:
            continue
        ys, xs = np.nonzero(inside >= max(1, round(0.9 * deepest)))
        places = np.stack([xs - 1, ys - 1], axis=1) * step + step // 2 + 0.5
        points[number] = places[((places - points[number]) ** 2).sum(1).argmin()]
    return points


def measured(segments: Sequence[Segment], numbers: np.ndarray) -> tuple[Segment, ...]:
    """The segments with boxes, areas and centroids as they are in a numbered map."""
    boxes, areas = boxes_and_areas(numbers, len(segments))
    middles = centroids(numbers, len(segments))
    return tuple(
        replace(segment, bbox=tuple(box), area=area, centroid=(round(x, 1), round(y, 1)) if area else None)
        for segment, box, area, (x, y) in zip(segments, boxes.tolist(), areas.tolist(), middles.tolist(), strict=True)
    )


def cell_shares(numbers: np.ndarray, count: int, size: tuple[int, int]) -> np.ndarray:
    """Masks (N, h, w) float32 of the segments 1 .. N of a numbered map (H, W): the share of each cell that they cover.

    ``size`` (h, w). As adaptive average pooling has it: where cells do not divide the map evenly they overlap by a
    pixel.
    """
    numbers = np.where(numbers <= count, numbers, 0)
    rows, columns = (_cells(whole, cells) for whole, cells in zip(numbers.shape, size, strict=True))
    counts = np.zeros((count + 1) * size[0] * size[1], np.int64)
    for row in rows.T:
        for column in columns.T:
            inside = (row[:, None] >= 0) & (column[None] >= 0)
            cell = (row[:, None] * size[1] + column[None])[inside]
            counts += np.bincount(numbers[inside] * (size[0] * size[1]) + cell, minlength=len(counts))
    heights, widths = (
        np.bincount(axis[axis >= 0], minlength=cells) for axis, cells in zip((rows, columns), size, strict=True)
    )
    shares = counts.reshape(count + 1, *size)[1:].astype(np.float32)
    return shares / widths[None, None].astype(np.float32) / heights[None, :, None].astype(np.float32)


def _cells(whole: int, cells: int) -> np.ndarray:
    """The cells (whole, M) in which each of ``whole`` pixels lies, filled up with -1: one, or two where cells overlap.

    More cells than pixels give a pixel to several.
    """
    index = np.arange(cells)
    first, last = index * whole // cells, -(-(index + 1) * whole // cells)
    found: list[list[int]] = [[] for _ in range(whole)]
    for cell, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for pixel in range(low, high):
            found[pixel].append(cell)
    most = max(map(len, found), default=1)
    return np.array([row + [-1] * (most - len(row)) for row in found], np.int64).reshape(whole, most)
