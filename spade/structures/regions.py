"""The regions of an image's segments: a panoptic map, where no pixel is two segments', or boxes, which may overlap.

Both answer the same questions, so that whoever asks need not know which it is. N segments, an image of (width, height).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spade.structures.segment_map import boxes_and_areas, cell_shares, numbered


class Regions(Protocol):
    """What both kinds have."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""

    @property
    def nbytes(self) -> int:
        """Memory it takes."""

    def __len__(self) -> int:
        """How many segments."""

    def masks(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Masks (N, h, w) bool at ``size`` (width, height), the image's own by default: pixels at the middle of each
        cell.
        """

    def shares(self, grid: tuple[int, int]) -> np.ndarray:
        """The share of each cell of a grid (h, w) that each segment covers: (N, h, w) float32."""

    def relative_boxes(self) -> np.ndarray:
        """Boxes (N, 4) float64 xyxy in shares of the image; zeros for a segment without a pixel."""

    def mirrored(self) -> Regions:
        """Left and right exchanged."""


@dataclass(frozen=True)
class MapRegions:
    """Of a map (H, W) that holds n where the n-th of ``count`` segments is, counted from 1, and 0 elsewhere."""

    numbers: np.ndarray
    count: int

    @classmethod
    def of_ids(cls, ids: np.ndarray, identities: Sequence[int]) -> MapRegions:
        """Of a panoptic map (H, W), the segments with these ids in their order."""
        return cls(numbered(ids, identities), len(identities))

    @property
    def size(self) -> tuple[int, int]:
        """See Regions."""
        return self.numbers.shape[1], self.numbers.shape[0]

    @property
    def nbytes(self) -> int:
        """See Regions."""
        return self.numbers.nbytes

    def __len__(self) -> int:
        return self.count

    def masks(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See Regions."""
        numbers = self.numbers
        if size is not None:
            columns, rows = (_middles(whole, cells) for whole, cells in zip(self.size, size, strict=True))
            numbers = numbers[rows][:, columns]
        return numbers[None] == np.arange(1, self.count + 1)[:, None, None]

    def shares(self, grid: tuple[int, int]) -> np.ndarray:
        """See Regions."""
        return cell_shares(self.numbers, self.count, grid)

    def relative_boxes(self) -> np.ndarray:
        """See Regions."""
        boxes, _ = boxes_and_areas(self.numbers, self.count)
        return boxes / np.array([*self.size, *self.size], np.float64)

    def mirrored(self) -> MapRegions:
        """See Regions."""
        return MapRegions(np.ascontiguousarray(self.numbers[:, ::-1]), self.count)


@dataclass(frozen=True)
class BoxRegions:
    """Of boxes (N, 4) xyxy in pixels of the image, x2 and y2 exclusive."""

    boxes: np.ndarray
    image_size: tuple[int, int]

    @classmethod
    def of(cls, boxes: Sequence[Sequence[float]], image_size: tuple[int, int]) -> BoxRegions:
        """Of any number of boxes, none as well."""
        return cls(np.array(boxes, np.float64).reshape(-1, 4), image_size)

    @property
    def size(self) -> tuple[int, int]:
        """See Regions."""
        return self.image_size

    @property
    def nbytes(self) -> int:
        """See Regions."""
        return self.boxes.nbytes

    def __len__(self) -> int:
        return len(self.boxes)

    def masks(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """See Regions; a box that holds the middle of no cell has the cell in which its own middle lies."""
        width, height = size or self.image_size
        across, down = self._inside(0, width), self._inside(1, height)
        inside: np.ndarray = np.logical_and(down[:, :, None], across[:, None, :])
        return inside

    def shares(self, grid: tuple[int, int]) -> np.ndarray:
        """See Regions."""
        across, down = self._covered(0, grid[1]), self._covered(1, grid[0])
        return (down[:, :, None] * across[:, None, :]).astype(np.float32)

    def relative_boxes(self) -> np.ndarray:
        """See Regions."""
        return self.boxes.reshape(-1, 4) / np.array([*self.image_size, *self.image_size], np.float64)

    def mirrored(self) -> BoxRegions:
        """See Regions."""
        x1, y1, x2, y2 = self.boxes.reshape(-1, 4).T
        width = self.image_size[0]
        return BoxRegions(np.stack([width - x2, y1, width - x1, y2], axis=1), self.image_size)

    def _ends(self, axis: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
        """Where boxes begin and end along an axis, in cells: (N, 1) each."""
        scale = cells / self.image_size[axis]
        boxes = self.boxes.reshape(-1, 4) * scale
        return boxes[:, axis, None], boxes[:, axis + 2, None]

    def _inside(self, axis: int, cells: int) -> np.ndarray:
        low, high = self._ends(axis, cells)
        middles = np.arange(cells)[None] + 0.5
        inside = np.asarray((middles >= low) & (middles < high))
        own = np.clip(np.floor((low + high) / 2), 0, cells - 1) == np.arange(cells)[None]
        return np.where(np.any(inside, axis=1, keepdims=True), inside, own)

    def _covered(self, axis: int, cells: int) -> np.ndarray:
        low, high = self._ends(axis, cells)
        left = np.arange(cells)[None]
        return np.clip(np.minimum(high, left + 1) - np.maximum(low, left), 0, 1)


def _middles(whole: int, cells: int) -> np.ndarray:
    """The pixel, of ``whole``, in the middle of each of ``cells``."""
    return np.minimum((np.arange(cells) * whole + whole // 2) // cells, whole - 1)
