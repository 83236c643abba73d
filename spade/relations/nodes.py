"""Segments as nodes: what a segment is made of before it looks at the others. N segments of one image, D channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade.relations.config import RelationHeadConfig
from spade.relations.mask_geometry import mask_gaps, pool


@dataclass(frozen=True)
class Nodes:
    """The segments of ONE image: query (N, D), pixels pooled under them (N, D), label (N, D_clip), boxes (N, 4) and
    areas (N,).

    Boxes are xyxy; they and the areas are shares of the image. Without an image there is neither query nor pooled.
    Where the head asks for it: ``gaps`` (N, N) between masks.
    """

    query: Tensor | None
    pooled: Tensor | None
    label: Tensor
    boxes: Tensor
    area: Tensor
    gaps: Tensor | None = None
    aspect: Tensor | None = None  # (N,) width of the image over its height; None: square

    @classmethod
    def of(
        cls,
        query: Tensor,
        pixels: Tensor,
        label: Tensor,
        masks: Tensor,
        boxes: Tensor,
        config: RelationHeadConfig,
    ) -> Nodes:
        """Of masks (N, h, w) in [0, 1], with pixels (D, h, w), the mask features.

        boxes (N, 4) come from finer masks than these: a cell of the features is wider than many a gap.
        """
        area = masks.float().mean(dim=(-2, -1))
        gaps = mask_gaps(masks) if config.nearness == "masks" else None
        return cls(query, pool(pixels, masks), label, boxes, area, gaps)

    def __len__(self) -> int:
        """How many segments."""
        return len(self.boxes)


GEOMETRY = 6
HIDDEN = 128  # of the network that reads geometry, whatever the width: it is asked once a pair
BORDER = 0.01  # of the image: a box so near to its edge touches it


class GeometryEncoder(nn.Module):
    """Geometry (..., F) to vectors (..., D), by way of its sines and cosines in octaves (Tancik et al., 2020).

    A network of raw shares of the image is slow to learn what turns on a few pixels.
    """

    def __init__(self, geometry_dim: int, width: int, bands: int) -> None:
        super().__init__()
        self.bands = bands
        self.mlp = nn.Sequential(
            *(nn.Linear(geometry_dim * (1 + 2 * bands), HIDDEN), nn.GELU()),
            *(nn.Linear(HIDDEN, HIDDEN), nn.GELU()),
            nn.Linear(HIDDEN, width),
        )

    def forward(self, geometry: Tensor) -> Tensor:
        """Vectors."""
        turns = torch.pi * 2.0 ** torch.arange(self.bands, device=geometry.device)
        waves = (geometry[..., None] * turns).flatten(-2)
        out: Tensor = self.mlp(torch.cat([geometry, waves.sin(), waves.cos()], dim=-1))
        return out


class NodeEncoder(nn.Module):
    """Query, pooled pixels, label embedding and geometry to one vector.

    forward: query (N, D), pooled (N, D), label (N, D_clip), geometry (N, 6) -> (N, D).
    """

    def __init__(self, width: int, clip_dim: int, bands: int = 0) -> None:
        super().__init__()
        self.query, self.pooled = nn.Linear(width, width), nn.Linear(width, width)
        self.label, self.geometry = nn.Linear(clip_dim, width), _geometry_encoder(GEOMETRY, width, bands)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, query: Tensor, pooled: Tensor, label: Tensor, geometry: Tensor) -> Tensor:
        """Node vectors."""
        total = self.query(query) + self.pooled(pooled) + self.label(label) + self.geometry(geometry)
        out: Tensor = self.norm(total + self.mix(total))
        return out


class BoxNodeEncoder(nn.Module):
    """Label vector, box and geometry to one vector, for segments without an image.

    forward: label (N, E), boxes (N, 4) in shares of the image, geometry (N, 6), aspect (N,) of the image -> (N, D).
    """

    def __init__(self, width: int, label_dim: int, bands: int = 0) -> None:
        super().__init__()
        self.label, self.place = nn.Linear(label_dim, width), _geometry_encoder(GEOMETRY + 10, width, bands)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, label: Tensor, boxes: Tensor, geometry: Tensor, aspect: Tensor) -> Tensor:
        """Node vectors; which of the image's four borders a box touches counts, too, and whether it is upright as one
        sees it.
        """
        borders = torch.cat([boxes[:, :2] <= BORDER, boxes[:, 2:] >= 1 - BORDER], dim=1).to(boxes.dtype)
        upright = (aspect * geometry[:, 2] / geometry[:, 3]).log() / 4
        shape = torch.stack([aspect.log(), upright], dim=1)
        total = self.label(label) + self.place(torch.cat([geometry, boxes, borders, shape], dim=1))
        out: Tensor = self.norm(total + self.mix(total))
        return out


def _geometry_encoder(geometry_dim: int, width: int, bands: int) -> nn.Module:
    return GeometryEncoder(geometry_dim, width, bands) if bands else nn.Linear(geometry_dim, width)
