"""The spatial-semantic graph: which segments are neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from spade.relations.nodes import mask_boxes


def neighbour_graph(masks: Tensor, vectors: Tensor, reach: float = 0.1, similarity: float = 0.65) -> Tensor:
    """Hard graph of ONE image, (N, N) bool, symmetric, with each node its own neighbour.

    Two segments are neighbours where the gap between their boxes is at most ``reach`` of the mean of their sizes, or
    where the cosine of their vectors exceeds ``similarity`` (SPADE's eta). masks (N, h, w) in [0, 1], vectors (N, D).
    """
    boxes = mask_boxes(masks)
    low, high = boxes[:, :2], boxes[:, 2:]
    gap = (torch.maximum(low[:, None], low[None]) - torch.minimum(high[:, None], high[None])).clamp(min=0).norm(dim=-1)
    size = (high - low).clamp(min=0).prod(1).sqrt()
    near = gap <= reach * (size[:, None] + size[None]) / 2
    unit = normalize(vectors.float(), dim=-1)
    alike = unit @ unit.T > similarity
    return near | alike | torch.eye(len(masks), dtype=torch.bool, device=masks.device)
