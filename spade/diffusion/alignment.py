"""Calibration's targets and loss: where the student's label tokens should look.

The ``vocabulary`` alignment: the student's context holds one token a label, so a teacher span and the student
token of the same label are the same thing by construction. Maps are normalised over space first: the raw
difference of two softmax rows over many tokens has almost no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.diffusion.attention import normalise


@dataclass(frozen=True)
class Target:
    """Where a label should be looked for in one image: ``map`` (h, w) sums to 1; segments that it names."""

    label: str
    map: Tensor
    segments: tuple[int, ...]


def label_targets(names: Sequence[str], segments: Sequence[int], maps: Tensor) -> list[Target]:
    """Merge mentions into targets: a label's map is the mean of its mentions' normalised maps.

    names and segments (-1 for predicates) of M mentions, maps (M, h, w).
    """
    scaled = normalise(maps.float())
    found = []
    for label in dict.fromkeys(names):
        mine = [i for i, name in enumerate(names) if name == label]
        named = tuple(sorted({segments[i] for i in mine if segments[i] >= 0}))
        found.append(Target(label, scaled[mine].mean(0), named))
    return found


def map_loss(student: Tensor, targets: Sequence[Sequence[tuple[int, Tensor]]]) -> Tensor:
    """Mean L1 distance, in [0, 2], between student and teacher maps that each sum to 1 over space.

    student (B, L, h, w) raw attention; targets: for each image (position in the context, map (h, w)) pairs. Labels
    without a target have no term. SPADE's L1 on maps, after normalisation.
    """
    terms = []
    for maps, wanted in zip(student, targets, strict=True):
        positions = [position for position, _ in wanted]
        if positions:
            aim = torch.stack([target for _, target in wanted]).to(maps.device)
            terms.append((normalise(maps[positions].float()) - aim).abs().sum(dim=(-2, -1)).mean())
    if not terms:
        return student.sum() * 0
    return torch.stack(terms).mean()


def pointing_hit(attention: Tensor, mask: Tensor) -> tuple[bool, float, float]:
    """Does the map's maximum lie in the mask; the share of its mass inside; the mask's share of the area (chance).

    attention (h, w) raw; mask (h, w) bool on the same grid.
    """
    inside = mask.flatten()[int(attention.flatten().argmax())]
    scaled = normalise(attention.float())
    return bool(inside), float(scaled[mask].sum()), float(mask.float().mean())
