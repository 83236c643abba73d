"""Boxes in place of masks, for data sets that have no others: the head, its losses, and which boxes stay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_convert, generalized_box_iou_loss

from spade.segmentation.panoptic import PanopticSegment
from spade.structures.regions import BoxRegions

L1_WEIGHT, GIOU_WEIGHT = 5.0, 2.0  # as DETR (Carion et al., 2020)


@dataclass(frozen=True)
class BoxRules:
    """Which boxes are segments. Recall is asked for, so that the threshold is low; a scene graph ranks what it says."""

    min_score: float = 0.1  # of a box's best label
    suppression: float = 0.5  # IoU of two boxes of one label above which the less sure one goes


class BoxHead(nn.Module):
    """Queries to boxes: the box of the query's own mask (its centre and spread), moved by what the query says, as Mask
    DINO begins its boxes (Li et al., 2023).

    forward: queries (B, Q, D), masks (B, Q, h, w) logits -> (B, Q, 4) xyxy in shares of the image.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        move = nn.Linear(width, 4)
        nn.init.zeros_(move.weight)  # at first a box is its mask's
        nn.init.zeros_(move.bias)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), move)

    def forward(self, queries: Tensor, masks: Tensor) -> Tensor:
        """Boxes."""
        start = spread_boxes(masks.detach().float().sigmoid()).clamp(1e-3, 1 - 1e-3)
        return box_convert((start.logit() + self.layers(queries).float()).sigmoid(), "cxcywh", "xyxy")


def spread_boxes(masks: Tensor) -> Tensor:
    """Boxes (B, Q, 4), centre x, y, width, height in shares of the image, of masks (B, Q, h, w) in [0, 1]: a filled
    box's own, since its pixels' standard deviation along an axis is its side divided by the root of 12.
    """
    masks = masks * (masks >= 0.5) + 1e-6
    weight = masks.sum((-2, -1))
    parts = []
    for axis, size in ((-2, masks.shape[-1]), (-1, masks.shape[-2])):
        place = (torch.arange(size, device=masks.device) + 0.5) / size
        share = masks.sum(axis) / weight[..., None]
        mean = (share * place).sum(-1)
        variance = (share * (place - mean[..., None]) ** 2).sum(-1) + 1 / (
            12 * size**2
        )  # a cell has a width of its own
        parts.append((mean, (12 * variance).clamp(min=0).sqrt()))
    (x, width), (y, height) = parts
    return torch.stack([x, y, width, height], dim=-1)


def box_losses(boxes: Tensor, targets: Tensor, count: Tensor) -> Tensor:
    """DETR's L1 and generalised IoU of matched boxes (M, 4) xyxy, weighted, over ``count`` targets."""
    distance = (box_convert(boxes, "xyxy", "cxcywh") - box_convert(targets, "xyxy", "cxcywh")).abs().sum()
    apart: Tensor = generalized_box_iou_loss(boxes, targets, reduction="sum")
    return (L1_WEIGHT * distance + GIOU_WEIGHT * apart) / count


def box_cells(boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """The share of each cell of a grid (h, w) that boxes (N, 4) in shares of the image cover: (N, h, w)."""
    parts = []
    for axis, cells in ((1, grid[0]), (0, grid[1])):
        low, high = boxes[:, axis, None] * cells, boxes[:, axis + 2, None] * cells
        left = torch.arange(cells, device=boxes.device)
        parts.append((torch.minimum(high, left + 1) - torch.maximum(low, left)).clamp(0, 1))
    return parts[0][:, :, None] * parts[1][:, None, :]


def found_boxes(
    boxes: Tensor, probabilities: Tensor, size: tuple[int, int], rules: BoxRules = BoxRules()
) -> tuple[BoxRegions, list[PanopticSegment]]:
    """The boxes (Q, 4) of ONE image that stay after non-maximum suppression within each label, the surest first.

    probabilities (Q, C + 1), the last column "no object"; size (width, height).
    """
    scores, categories = probabilities[:, :-1].float().max(-1)
    sure = torch.nonzero(scores >= rules.min_score).flatten()
    scale = torch.tensor([*size, *size], dtype=torch.float32, device=boxes.device)
    inside = boxes.float().clamp(0, 1) * scale
    kept = sure[batched_nms(inside[sure], scores[sure], categories[sure], rules.suppression)].tolist()
    segments = [PanopticSegment(int(categories[q]), float(scores[q]), q) for q in kept]
    return BoxRegions.of(inside[kept].tolist(), size), segments
