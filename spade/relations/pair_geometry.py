"""Geometry of ordered pairs of segments."""

from __future__ import annotations

import torch
from torch import Tensor

from spade.relations.config import BASIC


def pair_geometry(boxes: Tensor, area: Tensor, pairs: Tensor, geometry_dim: int = BASIC) -> Tensor:
    """(R, geometry_dim) for ordered pairs (R, 2) of boxes (N, 4) and mask areas (N,), all in shares of the image; see
    ``geometry_of``.
    """
    first, second = pairs.unbind(1)
    return geometry_of(boxes[first], boxes[second], area[first], area[second], geometry_dim)


def geometry_of(
    first: Tensor, second: Tensor, first_area: Tensor, second_area: Tensor, geometry_dim: int = BASIC
) -> Tensor:
    """(..., geometry_dim) of boxes (..., 4) in the role of subject and of object, and the areas (...) of their masks.

    Basic: offset x and y from subject to object, distance of centres, box IoU, log area ratio, and the share of each
    box that the other covers. Detailed adds: log ratios of widths and heights, offsets in mean widths and heights, how
    much lower the object's lower and upper edges are (who stands nearer, who hangs), gaps in x and y, and the roots of
    both mask areas.
    """
    offset = (second[..., :2] + second[..., 2:] - first[..., :2] - first[..., 2:]) / 2
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1).clamp(min=1e-5) for box in (first, second)]
    iou = overlap / (areas[0] + areas[1] - overlap)
    ratio = (areas[0] / areas[1]).log() / 4
    basic = torch.stack(
        [*offset.unbind(-1), offset.norm(dim=-1), iou, ratio, overlap / areas[0], overlap / areas[1]], dim=-1
    )
    if geometry_dim == BASIC:
        return basic
    sizes = [(box[..., 2:] - box[..., :2]).clamp(min=1e-3) for box in (first, second)]
    scaled = (2 * offset / (sizes[0] + sizes[1])).clamp(-4, 4) / 4
    gap = (low - high).clamp(min=0)
    edges = second[..., [3, 1]] - first[..., [3, 1]]
    roots = torch.stack(torch.broadcast_tensors(first_area, second_area), dim=-1).sqrt()
    return torch.cat([basic, (sizes[0] / sizes[1]).log() / 4, scaled, edges, gap, roots], dim=-1)
