"""Maps of segments: boxes, areas and masks of all segments of an image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def relative_boxes(numbers: np.ndarray, count: int) -> Tensor:
    """Boxes (N, 4) xyxy in shares of the picture of the segments 1 .. N of a map (H, W); zeros for one without a
    pixel.
    """
    height, width = numbers.shape
    boxes = [segment_geometry(numbers, n + 1)[0] for n in range(count)]
    return torch.tensor(boxes, dtype=torch.float32).view(-1, 4) / torch.tensor([width, height, width, height])


def segment_geometry(ids: np.ndarray, identity: int) -> tuple[tuple[int, int, int, int], int]:
    """Box (xyxy, exclusive) and area of one id in a panoptic map; an absent id gives an empty box and area 0."""
    mask = ids == identity
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return (0, 0, 0, 0), 0
    return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1), int(mask.sum())
