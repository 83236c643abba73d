"""The spatial-semantic graph: which segments are neighbours, or how much."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Space:
    """Of each two segments the gap between them and the mean of their sizes, (..., N, N), and how much their boxes
    overlap, or None.

    Gaps and sizes are shares of the image.
    """

    gaps: Tensor
    sizes: Tensor
    overlaps: Tensor | None

    @classmethod
    def of_boxes(cls, boxes: Tensor) -> Space:
        """Of boxes (..., N, 4) xyxy in shares of the image; what stands in the box of the grass touches the grass."""
        return cls(_gaps(boxes), _mean(_sizes(boxes)), _overlaps(boxes))

    @classmethod
    def of_masks(cls, gaps: Tensor, area: Tensor) -> Space:
        """Of ``mask_gaps`` (..., N, N) and areas (..., N)."""
        return cls(gaps, _mean(area.clamp(min=0).sqrt()), None)


def neighbour_graph(space: Space, vectors: Tensor, reach: float = 0.1, similarity: float = 0.65) -> Tensor:
    """Hard graph, (..., N, N) bool, symmetric, with each node its own neighbour.

    Two segments are neighbours where the gap between them is at most ``reach`` of the mean of their sizes, or
    where the cosine of their vectors (..., N, D) exceeds ``similarity`` (SPADE's eta).
    """
    near = space.gaps <= reach * space.sizes
    return (
        near | (_cosines(vectors) > similarity) | torch.eye(vectors.shape[-2], dtype=torch.bool, device=vectors.device)
    )


class SoftNeighbours(nn.Module):
    """Soft graph, (..., N, N) in [0, 1]: beta sig(k_g g + b_g) + (1 - beta) sig(k_s cos + b_s), g = IoU + exp(-gap /
    tau).

    SPADE++'s, with gaps in mean sizes, all scalars learned, and with offsets: without them no weight falls below a
    half. Masks do not overlap, so between them g is the second term alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.space, self.likeness = nn.Parameter(torch.tensor([8.0, -5.0])), nn.Parameter(torch.tensor([8.0, -5.0]))
        self.balance, self.reach = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(-1.5))

    def forward(self, space: Space, vectors: Tensor) -> Tensor:
        """How the segments lie, vectors (..., N, D)."""
        nearness = (-space.gaps / space.sizes.clamp(min=1e-4) / self.reach.exp()).exp()
        if space.overlaps is not None:
            nearness = space.overlaps + nearness
        share = self.balance.sigmoid()
        spatial = (self.space[0] * nearness + self.space[1]).sigmoid()
        alike = (self.likeness[0] * _cosines(vectors) + self.likeness[1]).sigmoid()
        weight: Tensor = share * spatial + (1 - share) * alike
        itself = torch.eye(vectors.shape[-2], dtype=torch.bool, device=vectors.device)
        return weight.masked_fill(itself, 1.0)


def _sizes(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()


def _mean(size: Tensor) -> Tensor:
    return (size[..., :, None] + size[..., None, :]) / 2


def _gaps(boxes: Tensor) -> Tensor:
    """Distance between boxes (..., N, 4), 0 where they touch: (..., N, N)."""
    rows, columns = boxes[..., :, None, :], boxes[..., None, :, :]
    return (
        (torch.maximum(rows[..., :2], columns[..., :2]) - torch.minimum(rows[..., 2:], columns[..., 2:]))
        .clamp(min=0)
        .norm(dim=-1)
    )


def _overlaps(boxes: Tensor) -> Tensor:
    """IoU of boxes (..., N, 4): (..., N, N)."""
    rows, columns = boxes[..., :, None, :], boxes[..., None, :, :]
    shared = (
        (torch.minimum(rows[..., 2:], columns[..., 2:]) - torch.maximum(rows[..., :2], columns[..., :2]))
        .clamp(min=0)
        .prod(-1)
    )
    area = _sizes(boxes) ** 2
    return shared / (area[..., :, None] + area[..., None, :] - shared).clamp(min=1e-8)


def _cosines(vectors: Tensor) -> Tensor:
    unit = normalize(vectors.float(), dim=-1)
    return unit @ unit.transpose(-1, -2)
