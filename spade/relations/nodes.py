"""Segments as nodes: what a segment is made of before it looks at the others. Batch-free shapes: N segments, D channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

GEOMETRY = 6
HIDDEN = 128  # of the network that reads geometry, whatever the width: it is asked once a pair
BORDER = 0.01  # of the picture: a box so near to its edge touches it


def hard_masks(masks: Tensor) -> Tensor:
    """Cells (N, h, w) bool that masks in [0, 1] cover by more than half; of a mask that does so nowhere, all that it touches."""
    hard = masks > 0.5
    return torch.where(hard.flatten(1).any(1)[:, None, None], hard, masks > 0)


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes (N, 4) xyxy in shares of the picture, of masks (N, h, w) in [0, 1]; an empty mask gives zeros."""
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
    """(N, 6) of boxes (N, 4) and areas (N,) in shares of the picture: centre x, y, width, height, root of the area, share of its box."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-4)
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    return torch.cat([centre, size, area[:, None].sqrt(), (area / size.prod(1)).clamp(max=1)[:, None]], dim=1)


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """Mean of features (D, h, w) under each mask (N, h, w): (N, D)."""
    weights = masks.flatten(1)
    weights = weights / (weights.sum(1, keepdim=True) + 1e-6)
    return weights @ features.flatten(1).T


def pool_unions(features: Tensor, boxes: Tensor) -> Tensor:
    """Mean of features (D, h, w) in the box around each two of boxes (N, 4): (N, N, D); what lies between two counts, too."""
    height, width = features.shape[-2:]
    scale = boxes.new_tensor([width, height, width, height])
    low = torch.minimum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
    x1, y1, x2, y2 = (torch.cat([low, high], dim=-1) * scale).round().long().unbind(-1)
    sums = pad(features.cumsum(1).cumsum(2), (1, 0, 1, 0))
    total = sums[:, y2, x2] - sums[:, y1, x2] - sums[:, y2, x1] + sums[:, y1, x1]
    return (total / ((x2 - x1) * (y2 - y1)).clamp(min=1)).permute(1, 2, 0)


class GeometryEncoder(nn.Module):
    """Facts about places (..., F) to vectors (..., D), by way of their sines and cosines at octaves (Tancik et al., 2020).

    A network of raw shares of the picture is slow to learn what turns on a few pixels.
    """

    def __init__(self, facts: int, width: int, octaves: int) -> None:
        super().__init__()
        self.octaves = octaves
        self.mlp = nn.Sequential(
            *(nn.Linear(facts * (1 + 2 * octaves), HIDDEN), nn.GELU()),
            *(nn.Linear(HIDDEN, HIDDEN), nn.GELU()),
            nn.Linear(HIDDEN, width),
        )

    def forward(self, facts: Tensor) -> Tensor:
        """Vectors."""
        turns = torch.pi * 2.0 ** torch.arange(self.octaves, device=facts.device)
        waves = (facts[..., None] * turns).flatten(-2)
        out: Tensor = self.mlp(torch.cat([facts, waves.sin(), waves.cos()], dim=-1))
        return out


class NodeEncoder(nn.Module):
    """Query, pooled pixels, label embedding and geometry to one vector.

    forward: query (N, D), pooled (N, D), label (N, D_clip), geometry (N, 6) -> (N, D).
    """

    def __init__(self, width: int, clip_dim: int, octaves: int = 0) -> None:
        super().__init__()
        self.query, self.pooled = nn.Linear(width, width), nn.Linear(width, width)
        self.label, self.geometry = nn.Linear(clip_dim, width), _places(GEOMETRY, width, octaves)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, query: Tensor, pooled: Tensor, label: Tensor, geometry: Tensor) -> Tensor:
        """Node vectors."""
        total = self.query(query) + self.pooled(pooled) + self.label(label) + self.geometry(geometry)
        out: Tensor = self.norm(total + self.mix(total))
        return out


class LayoutEncoder(nn.Module):
    """Label vector, box and geometry to one vector, for segments without pixels.

    forward: label (N, E), boxes (N, 4) in shares of the picture, geometry (N, 6), aspect (N,) of the picture -> (N, D).
    """

    def __init__(self, width: int, label_dim: int, octaves: int = 0) -> None:
        super().__init__()
        self.label, self.place = nn.Linear(label_dim, width), _places(GEOMETRY + 10, width, octaves)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, label: Tensor, boxes: Tensor, geometry: Tensor, aspect: Tensor) -> Tensor:
        """Node vectors; which of the picture's four borders a box touches counts, too, and whether it is upright as one sees it."""
        borders = torch.cat([boxes[:, :2] <= BORDER, boxes[:, 2:] >= 1 - BORDER], dim=1).to(boxes.dtype)
        upright = (aspect * geometry[:, 2] / geometry[:, 3]).log() / 4
        shape = torch.stack([aspect.log(), upright], dim=1)
        total = self.label(label) + self.place(torch.cat([geometry, boxes, borders, shape], dim=1))
        out: Tensor = self.norm(total + self.mix(total))
        return out


def _places(facts: int, width: int, octaves: int) -> nn.Module:
    return GeometryEncoder(facts, width, octaves) if octaves else nn.Linear(facts, width)
