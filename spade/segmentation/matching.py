"""Which query stands for which segment."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import interpolate


@torch.no_grad()
def match_spare(masks: Tensor, taken: Tensor, unnamed: Tensor) -> tuple[Tensor, Tensor]:
    """Queries that stand for no annotated segment, and the unnamed one that each is to cover: two lists of indices of
    ONE image.

    masks (Q, h, w) logits; taken: the queries in use; unnamed (V, H, W).
    """
    if not len(unnamed):
        return taken[:0], taken[:0]
    free = torch.ones(len(masks), dtype=torch.bool)
    free[taken] = False
    left = torch.nonzero(free).flatten()
    cost = 1 - mask_dice(masks[left.to(masks.device)], shrink_masks(unnamed, (masks.shape[-2], masks.shape[-1])))
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return left[torch.from_numpy(rows)].to(taken), torch.from_numpy(columns).to(taken)


def mask_dice(masks: Tensor, targets: Tensor) -> Tensor:
    """Dice coefficients (Q, N) of masks (Q, h, w), logits, and targets (N, h, w) in [0, 1]."""
    probability, target = masks.float().sigmoid().flatten(1), targets.float().flatten(1)
    return (2 * probability @ target.T + 1) / (probability.sum(1)[:, None] + target.sum(1)[None] + 1)


@torch.no_grad()
def match_queries(masks: Tensor, classes: Tensor, mask_labels: Tensor, class_labels: Tensor) -> Tensor:
    """For each of N target segments of ONE image, the query that stands for it: (N,) indices, each used once.

    masks (Q, h, w) logits, classes (Q, C + 1) logits, mask_labels (N, h, w) in [0, 1]. Cost: 1 - dice - P(class).
    With more segments than queries the surplus gets -1.
    """
    cost = 1 - mask_dice(masks, mask_labels) - classes.float().softmax(-1)[:, class_labels]
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    chosen_query = np.full(len(class_labels), -1, np.int64)
    chosen_query[columns] = rows
    return torch.from_numpy(chosen_query).to(masks.device)


def shrink_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W) float masks to the share of each cell that they cover, (N, h, w)."""
    if masks.shape[0] == 0:
        return masks.new_zeros((0, *size))
    return interpolate(masks[None], size=size, mode="area")[0]


def covered_cells(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The cells (h, w) bool of which a mask (H, W) covers at least half; of a small one, those that it covers most."""
    cells = shrink_masks(mask[None].float(), size)[0]
    return cells >= min(0.5, float(cells.max()))
