"""Which ordered pairs a training step learns from, and what is annotated of them: a batch of images at once, on the
CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

UNKNOWN = -1  # in place of a triple's predicate
_HIDDEN = -2


@dataclass(frozen=True)
class SampledPairs:
    """R pairs of several images, ``counts`` of each: pairs (R, 2), and a predicate that is annotated of each, or -1:
    predicates_of (R,).

    log_odds_offset (R,): by how much, in log odds, annotated pairs are rarer among all of their image's than among the
    sampled ones. annotated: the numbers of the R that have a predicate, ``annotated_counts`` in each image.
    off_diagonal: of all images' (N, N) matrices, flat and one after the other, the entries of two different segments,
    ``off_diagonal_counts`` in each image; related_cells: 1 where these are annotated, else 0.
    """

    pairs: Tensor
    predicates_of: Tensor
    log_odds_offset: Tensor
    annotated: Tensor
    off_diagonal: Tensor
    related_cells: Tensor
    counts: list[int]
    annotated_counts: list[int]
    off_diagonal_counts: list[int]

    def to(self, device: torch.device) -> SampledPairs:
        """On a device."""
        names = ("pairs", "predicates_of", "log_odds_offset", "annotated", "off_diagonal", "related_cells")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def sample_pairs(triples: Sequence[Tensor], segments: Sequence[int], most: int) -> SampledPairs:
    """All annotated pairs of each image and others at random: ``most`` in all, or twice the annotated ones where
    these are over half.

    triples (R_i, 3) among ``segments`` of each image. Of several predicates of a pair one is drawn at random. A pair
    whose predicate is ``UNKNOWN`` is related in a way that training must not see: it is no example of either kind.
    """
    number = torch.tensor(segments)
    cells = number**2
    image = torch.arange(len(number)).repeat_interleave(cells)
    place = torch.arange(int(cells.sum())) - (cells.cumsum(0) - cells)[image]
    subject, target = place // number[image], place % number[image]
    named = _one_predicate_a_pair(triples, number, len(image))
    off_diagonal, related = (subject != target) & (named != _HIDDEN), named >= 0
    others = torch.nonzero(off_diagonal & ~related).flatten()
    positive = torch.bincount(image[related], minlength=len(number))
    room, left = torch.maximum(positive, most - positive), torch.bincount(image[others], minlength=len(number))
    # In the order of images, within each at random: the first ones of each image are taken.
    others = others[torch.argsort(image[others] + torch.rand(len(others), dtype=torch.float64))]
    rank = torch.arange(len(others)) - (left.cumsum(0) - left)[image[others]]
    chosen = torch.cat([torch.nonzero(related).flatten(), others[rank < room[image[others]]]])
    chosen = chosen[torch.argsort(image[chosen], stable=True)]
    of, predicates_of = image[chosen], named[chosen]
    log_odds_offset = (left / room.clamp(min=1)).clamp(min=1).log()
    return SampledPairs(
        torch.stack([subject[chosen], target[chosen]], dim=1),
        predicates_of,
        log_odds_offset[of],
        torch.nonzero(predicates_of >= 0).flatten(),
        torch.nonzero(off_diagonal).flatten(),
        related[off_diagonal].float(),
        torch.bincount(of, minlength=len(number)).tolist(),
        torch.bincount(of[predicates_of >= 0], minlength=len(number)).tolist(),
        torch.bincount(image[off_diagonal], minlength=len(number)).tolist(),
    )


def _one_predicate_a_pair(triples: Sequence[Tensor], number: Tensor, cells: int) -> Tensor:
    """(M,) over the cells of all images' matrices: a predicate that is annotated there, at random where there are
    several; -1 for none, ``_HIDDEN`` where nothing else is annotated than one that is unknown.
    """
    rows = torch.cat(list(triples))
    of = torch.arange(len(triples)).repeat_interleave(torch.tensor([len(annotated) for annotated in triples]))
    at = (number**2).cumsum(0)[of] - (number**2)[of] + rows[:, 0] * number[of] + rows[:, 1]
    predicates_of, is_known = torch.full((cells,), -1, dtype=torch.int64), rows[:, 2] != UNKNOWN
    predicates_of[at[~is_known]] = _HIDDEN
    rows, at = rows[is_known], at[is_known]
    order = torch.randperm(len(rows))
    cell, first = np.unique(at[order].numpy(), return_index=True)
    predicates_of[torch.from_numpy(cell)] = rows[order[torch.from_numpy(first)], 2]
    return predicates_of
