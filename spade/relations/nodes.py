"""Segments as nodes: what a segment is made of before it looks at the others. Batch-free shapes: N segments, D
channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade.open_vocabulary.attention_ratio import attention_ratio
from spade.relations.config import RelationHeadConfig
from spade.relations.mask_geometry import mask_gaps, pool, pool_unions


@dataclass(frozen=True)
class Nodes:
    """The segments of ONE image: query (N, D), pixels pooled under them (N, D), label (N, D_clip), boxes (N, 4) and
    areas (N,).

    Boxes are xyxy; they and the areas are shares of the picture. Without pixels there is neither query nor pooled.
    Where the heads ask for it: ``unions`` (N, N, D), pixels pooled in the box around each two; ``looked`` (N, P), how
    much more each predicate is looked for under a mask than in the whole picture; ``gaps`` (N, N) between masks.
    """

    query: Tensor | None
    pooled: Tensor | None
    label: Tensor
    boxes: Tensor
    area: Tensor
    unions: Tensor | None = None
    looked: Tensor | None = None
    gaps: Tensor | None = None
    aspect: Tensor | None = None  # (N,) width of the picture over its height; None: square

    @classmethod
    def of(
        cls,
        query: Tensor,
        pixels: Tensor,
        label: Tensor,
        masks: Tensor,
        boxes: Tensor,
        config: RelationHeadConfig,
        attention: Tensor | None = None,
    ) -> Nodes:
        """Of masks (N, h, w) in [0, 1], with pixels (D, h, w), the mask features, and attention (P, h', w') to the
        predicates.

        boxes (N, 4) come from finer masks than these: a cell of the features is wider than many a gap.
        """
        area = masks.float().mean(dim=(-2, -1))
        unions = pool_unions(pixels, boxes) if config.unions else None
        looked = attention_ratio(masks[None], attention[None])[0] if config.maps and attention is not None else None
        gaps = mask_gaps(masks) if config.nearness == "masks" else None
        return cls(query, pool(pixels, masks), label, boxes, area, unions, looked, gaps)

    def __len__(self) -> int:
        """How many segments."""
        return len(self.boxes)


GEOMETRY = 6
HIDDEN = 128  # of the network that reads geometry, whatever the width: it is asked once a pair
BORDER = 0.01  # of the picture: a box so near to its edge touches it


class GeometryEncoder(nn.Module):
    """Facts about places (..., F) to vectors (..., D), by way of their sines and cosines at octaves (Tancik et al.,
    2020).

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
    """Label vector, box and geometry to one vector, for segments without pixels.

    forward: label (N, E), boxes (N, 4) in shares of the picture, geometry (N, 6), aspect (N,) of the picture -> (N, D).
    """

    def __init__(self, width: int, label_dim: int, octaves: int = 0) -> None:
        super().__init__()
        self.label, self.place = nn.Linear(label_dim, width), _places(GEOMETRY + 10, width, octaves)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, label: Tensor, boxes: Tensor, geometry: Tensor, aspect: Tensor) -> Tensor:
        """Node vectors; which of the picture's four borders a box touches counts, too, and whether it is upright as one
        sees it.
        """
        borders = torch.cat([boxes[:, :2] <= BORDER, boxes[:, 2:] >= 1 - BORDER], dim=1).to(boxes.dtype)
        upright = (aspect * geometry[:, 2] / geometry[:, 3]).log() / 4
        shape = torch.stack([aspect.log(), upright], dim=1)
        total = self.label(label) + self.place(torch.cat([geometry, boxes, borders, shape], dim=1))
        out: Tensor = self.norm(total + self.mix(total))
        return out


def _places(facts: int, width: int, octaves: int) -> nn.Module:
    return GeometryEncoder(facts, width, octaves) if octaves else nn.Linear(facts, width)
