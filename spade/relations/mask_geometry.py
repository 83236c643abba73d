"""Geometry of masks: boxes, gaps, pooling; shares of the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

FAR = 0.1  # of the image: gaps between masks are not followed farther


def mask_gaps(masks: Tensor) -> Tensor:
    """Gaps (N, N) between masks (N, h, w) in [0, 1], in shares of the image, by the larger of both axes; adjacent
    ones have none.

    Masks grow by a cell a time until they meet; beyond FAR a gap is 1.
    """
    hard = hard_masks(masks).float()
    side = max(masks.shape[-2:])
    gaps, grown = masks.new_ones((len(masks), len(masks)), dtype=torch.float32), hard
    for cells in range(math.ceil(FAR * side)):
        if not len(masks):
            break
        grown = max_pool2d(grown[:, None], 3, 1, 1)[:, 0]
        met = grown.flatten(1) @ hard.flatten(1).T > 0
        gaps = torch.where(met & (gaps == 1), cells / side, gaps)
    return gaps


def hard_masks(masks: Tensor) -> Tensor:
    """Cells (N, h, w) bool that masks in [0, 1] cover by more than half; of a mask that does so nowhere, all that it
    touches.
    """
    hard = masks > 0.5
    return torch.where(hard.flatten(1).any(1)[:, None, None], hard, masks > 0)


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes (N, 4) xyxy in shares of the image, of masks (N, h, w) in [0, 1]; an empty mask gives zeros."""
    hard = hard_masks(masks)
    height, width = masks.shape[-2:]
    boxes = masks.new_zeros((masks.shape[0], 4))
    for axis, size, low, high in ((1, width, 0, 2), (2, height, 1, 3)):
        present = hard.any(axis).float()
        filled = present.sum(1) > 0
        first = present.argmax(1)
        last = size - present.flip(1).argmax(1)
        boxes[:, low] = torch.where(filled, first / size, 0.0)
        boxes[:, high] = torch.where(filled, last / size, 0.0)
    return boxes


def node_geometry(boxes: Tensor, area: Tensor) -> Tensor:
    """(N, 6) of boxes (N, 4) and areas (N,) in shares of the image: centre x, y, width, height, root of the area,
    share of its box.
    """
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-4)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    return torch.cat([centre, size, area[:, None].sqrt(), (area / size.prod(1)).clamp(max=1)[:, None]], dim=1)


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """Mean of features (D, h, w) under each mask (N, h, w): (N, D)."""
    weights = masks.flatten(1)
    weights = weights / (weights.sum(1, keepdim=True) + 1e-6)
    return weights @ features.flatten(1).T
