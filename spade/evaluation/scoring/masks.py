"""All overlaps of an image's masks from one pass over its id maps.

Segments are large and few, so a row of pixels is a handful of runs in which no map changes its id. Everything that
evaluation asks of masks (areas, intersections, boxes, merging) is a sum over runs; an image of 480 x 640 has some
thousands of them instead of 307,200 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spade.structures.panoptic_png import Planes, planes_to_ids

IdMap = np.ndarray | Planes


@dataclass(frozen=True)
class Layers:
    """Predicted masks: segment i covers the pixels of ``maps[layer[i]]`` that hold ``ids[i]``.

    ``maps`` are (H, W) id maps, or the three planes of a png (structures/panoptic_png.py); masks of one map are
    disjoint, masks of different maps may overlap.
    """

    maps: tuple[IdMap, ...]
    layer: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Overlaps:
    """Pixel counts: ``joint`` (N, M), ``predicted_area`` (N,), ``true_area`` (M,), ``void`` (N,) pixels on unlabelled
    ground truth.
    """

    joint: np.ndarray
    predicted_area: np.ndarray
    true_area: np.ndarray
    void: np.ndarray

    def iou(self) -> np.ndarray:
        """(N, M) with void counted as background, as the scene graph evaluators do."""
        union = self.predicted_area[:, None] + self.true_area[None] - self.joint
        return self.joint / np.maximum(union, 1)


@dataclass(frozen=True)
class Runs:
    """An image as S horizontal runs: ``true`` (S,) the true segment's number or -1, ``cover`` (L, S) the predicted
    one's in each layer.
    """

    start: np.ndarray  # flat pixel index
    length: np.ndarray
    width: int
    true: np.ndarray
    cover: np.ndarray
    true_count: int
    count: int

    def overlaps(self) -> Overlaps:
        """Every predicted segment against every true one."""
        table = np.zeros((self.count, self.true_count + 1), np.int64)
        for cover in self.cover:
            table += _joint(cover, self.count, self.true, self.true_count, self.length)[1:]
        true_area = np.bincount(self.true + 1, self.length, self.true_count + 1)[1:].astype(np.int64)
        return Overlaps(table[:, 1:], table.sum(1), true_area, table[:, 0])

    def without_pixel(self) -> tuple[int, int]:
        """How many predicted, and how many true segments have no pixel."""
        predicted, true = (len(np.unique(part[part >= 0])) for part in (self.cover, self.true))
        return self.count - predicted, self.true_count - true

    def boxes(self) -> np.ndarray:
        """(N, 4) xyxy in pixels around each predicted segment, x2 and y2 exclusive; zeros where it has no pixel."""
        edges = np.array([np.iinfo(np.int64).max] * 2 + [-1] * 2)
        boxes = np.tile(edges, (self.count, 1))
        x, y = self.start % self.width, self.start // self.width
        for cover in self.cover:
            there = cover >= 0
            owner = cover[there]
            for column, values in ((0, x), (1, y)):
                np.minimum.at(boxes[:, column], owner, values[there])
            for column, values in ((2, x + self.length), (3, y + 1)):
                np.maximum.at(boxes[:, column], owner, values[there])
        boxes[boxes[:, 2] < 0] = 0
        return boxes

    def merged(self, strengths: np.ndarray) -> tuple[Runs, np.ndarray]:
        """Overlapping masks made disjoint, as fair-psgg reads the output of systems that predict one mask a relation.

        Segments go by descending ``strengths`` (N,). One that was not merged away takes the pixels still free, if
        there are any; every later one whose IoU with it (of the masks as predicted) is at least 0.5 is merged into
        it. Also the keeper of each segment (N,), -1 for none.
        """
        inter = np.zeros((self.count, self.count), np.int64)
        for a in self.cover:
            for b in self.cover:
                inter += _joint(a, self.count, b, self.count, self.length)[1:, 1:]
        area = inter.diagonal()
        same = inter / np.maximum(area[:, None] + area[None] - inter, 1) >= 0.5
        keeper, taken = np.full(self.count, -1), np.full(len(self.length), -1)
        waiting = np.ones(self.count, bool)
        for segment in np.argsort(-strengths, kind="stable"):
            waiting[segment] = False
            if keeper[segment] >= 0:
                continue
            mine = (self.cover == segment).any(0) & (taken < 0)
            if not mine.any():
                continue
            taken[mine] = segment
            keeper[segment] = segment
            keeper[same[segment] & waiting & (keeper < 0)] = segment
        return Runs(self.start, self.length, self.width, self.true, taken[None], self.true_count, self.count), keeper


def pixel_runs(true_ids: IdMap | None, true_segments: Sequence[int], predicted: Layers, size: tuple[int, int]) -> Runs:
    """Runs of an image of ``size`` (height, width); without ``true_ids`` nothing is on a true segment."""
    height, width = size
    maps = [_planes(m) for m in (*predicted.maps, *(() if true_ids is None else (true_ids,)))]
    changes = np.zeros(height * width, bool)
    changes[::width] = True
    for planes in maps:
        for flat in planes:
            changes[1:] |= flat[1:] != flat[:-1]
    start = np.flatnonzero(changes)
    length = np.diff(start, append=height * width)
    cover = np.full((len(predicted.maps), len(start)), -1, np.int64)
    for layer, row in enumerate(cover):
        members = np.flatnonzero(predicted.layer == layer)
        place = _numbers(_ids(maps[layer], start), predicted.ids[members])
        row[:] = np.append(members, -1)[place]
    true = (
        np.full(len(start), -1, np.int64)
        if true_ids is None
        else _numbers(_ids(maps[-1], start), np.asarray(true_segments, np.int64))
    )
    return Runs(start, length, width, true, cover, len(true_segments), len(predicted.ids))


def _planes(ids: IdMap) -> list[np.ndarray]:
    """One flat plane of ids, or three of bytes."""
    return [plane.ravel() for plane in (ids if isinstance(ids, tuple) else (ids,))]


def _ids(planes: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Ids at some pixels."""
    values = [plane[places] for plane in planes]
    ids = values[0] if len(values) == 1 else planes_to_ids((values[0], values[1], values[2]))
    return ids.astype(np.int64)


def ids_at(ids: IdMap, places: np.ndarray) -> np.ndarray:
    """Ids at some pixels, by their flat indices."""
    return _ids(_planes(ids), places)


def _numbers(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Place of each value in ``ids``, -1 for any other value."""
    if not len(ids):
        return np.full(len(values), -1, np.int64)
    order = np.argsort(ids, kind="stable")
    place = order[np.minimum(np.searchsorted(ids[order], values), len(ids) - 1)]
    return np.where(ids[place] == values, place, -1)


def _joint(a: np.ndarray, a_count: int, b: np.ndarray, b_count: int, length: np.ndarray) -> np.ndarray:
    """(A + 1, B + 1) pixels; row and column 0 are for -1."""
    columns = b_count + 1
    return np.bincount((a + 1) * columns + b + 1, length, (a_count + 1) * columns).reshape(-1, columns).astype(np.int64)
