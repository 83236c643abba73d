"""The spatial-semantic graph: which segments are neighbours, or how much."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


def neighbour_graph(boxes: Tensor, vectors: Tensor, reach: float = 0.1, similarity: float = 0.65) -> Tensor:
    """Hard graph, (..., N, N) bool, symmetric, with each node its own neighbour.

    Two segments are neighbours where the gap between their boxes is at most ``reach`` of the mean of their sizes, or
    where the cosine of their vectors exceeds ``similarity`` (SPADE's eta). boxes (..., N, 4) in shares of the picture, vectors (..., N, D).
    """
    near = _gaps(boxes) <= reach * _mean_sizes(boxes)
    return near | (_cosines(vectors) > similarity) | torch.eye(boxes.shape[-2], dtype=torch.bool, device=boxes.device)


class SoftNeighbours(nn.Module):
    """Soft graph, (..., N, N) in [0, 1]: beta sig(k_g g + b_g) + (1 - beta) sig(k_s cos + b_s), g = IoU + exp(-gap / tau).

    SPADE++'s, with boxes' gaps in mean sizes, all scalars learned, and with offsets: without them no weight falls below a half.
    """

    def __init__(self) -> None:
        super().__init__()
        self.space, self.likeness = nn.Parameter(torch.tensor([8.0, -5.0])), nn.Parameter(torch.tensor([8.0, -5.0]))
        self.balance, self.reach = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(-1.5))

    def forward(self, boxes: Tensor, vectors: Tensor) -> Tensor:
        """Boxes (..., N, 4) in shares of the picture, vectors (..., N, D)."""
        gap = _gaps(boxes) / _mean_sizes(boxes).clamp(min=1e-4)
        nearness = _overlaps(boxes) + (-gap / self.reach.exp()).exp()
        share = self.balance.sigmoid()
        spatial = (self.space[0] * nearness + self.space[1]).sigmoid()
        alike = (self.likeness[0] * _cosines(vectors) + self.likeness[1]).sigmoid()
        weight: Tensor = share * spatial + (1 - share) * alike
        itself = torch.eye(boxes.shape[-2], dtype=torch.bool, device=boxes.device)
        return weight.masked_fill(itself, 1.0)


def _sizes(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()


def _mean_sizes(boxes: Tensor) -> Tensor:
    size = _sizes(boxes)
    return (size[..., :, None] + size[..., None, :]) / 2


def _gaps(boxes: Tensor) -> Tensor:
    """Distance between boxes (..., N, 4), 0 where they touch: (..., N, N)."""
    rows, columns = boxes[..., :, None, :], boxes[..., None, :, :]
    return (torch.maximum(rows[..., :2], columns[..., :2]) - torch.minimum(rows[..., 2:], columns[..., 2:])).clamp(min=0).norm(dim=-1)


def _overlaps(boxes: Tensor) -> Tensor:
    """IoU of boxes (..., N, 4): (..., N, N)."""
    rows, columns = boxes[..., :, None, :], boxes[..., None, :, :]
    shared = (torch.minimum(rows[..., 2:], columns[..., 2:]) - torch.maximum(rows[..., :2], columns[..., :2])).clamp(min=0).prod(-1)
    area = _sizes(boxes) ** 2
    return shared / (area[..., :, None] + area[..., None, :] - shared).clamp(min=1e-8)


def _cosines(vectors: Tensor) -> Tensor:
    unit = normalize(vectors.float(), dim=-1)
    return unit @ unit.transpose(-1, -2)
