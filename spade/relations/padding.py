"""Several images of different size in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad

from spade.relations.nodes import Nodes


def padded_gaps(images: Sequence[Nodes], most: int) -> Tensor:
    """Gaps between masks of several images, padded: (B, N, N)."""
    mask_gaps = [nodes.gaps for nodes in images if nodes.gaps is not None]
    assert len(mask_gaps) == len(images), "nodes for these heads are made with gaps"
    return torch.stack([pad(gaps, (0, most - len(gaps), 0, most - len(gaps)), value=1.0) for gaps in mask_gaps])


def joint_indices(pairs: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Pairs (R_i, 2) of several images in one numbering of all their segments, ``counts`` of each: (R, 2)."""
    every = torch.cat(list(pairs))
    starts = torch.tensor(list(accumulate(counts, initial=0))[:-1], device=every.device)
    number = torch.tensor([len(rows) for rows in pairs], device=every.device)
    return every + starts.repeat_interleave(number, output_size=len(every))[:, None]


def padded(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows (M, ...) of several images as (B, N, ...), N the largest count; zeros behind the last of each."""
    most = max(counts)
    out = rows.new_zeros(len(counts) * most, *rows.shape[1:])
    return out.index_copy(0, padded_positions(counts, most, rows.device), rows).unflatten(0, (len(counts), most))


def padded_positions(counts: Sequence[int], most: int, device: torch.device) -> Tensor:
    """Where rows of several images, ``counts`` of each, stand among ``most`` of each: (M,)."""
    number = torch.tensor(counts, device=device)
    skipped = (most - number).cumsum(0) - (most - number)
    return torch.arange(int(sum(counts)), device=device) + skipped.repeat_interleave(
        number, output_size=int(sum(counts))
    )
