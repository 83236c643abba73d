"""Calibration's targets and losses: where the student's tokens should look.

Nothing in SPADE says which of the student's tokens stands for which of the caption's. ``vocabulary``: the student's
context holds one token a label, so a mention and the token of its label are the same thing by construction. ``index``:
the image adapter's i-th token for the caption's i-th, the literal reading. ``matched``: the adapter's tokens, assigned
to labels image by image. Maps are normalised over space first: the raw difference of two softmax rows over many
tokens has almost no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spade.diffusion.attention import normalise


@dataclass(frozen=True)
class Target:
    """Where a label should be looked for in one image: ``map`` (h, w) sums to 1; segments that it names."""

    label: str
    map: Tensor
    segments: tuple[int, ...]

    @property
    def key(self) -> str:
        """Tells a predicate from an object of the same name."""
        return label_key(self.label, bool(self.segments))


def label_key(name: str, is_object: bool) -> str:
    """A name that objects and predicates do not share."""
    return name if is_object else f"predicate {name}"


def label_targets(names: Sequence[str], segments: Sequence[int], maps: Tensor) -> list[Target]:
    """Merge mentions into targets: a label's map is the mean of its mentions' normalised maps.

    names and segments (-1 for predicates) of M mentions, maps (M, h, w).
    """
    scaled = normalise(maps.float())
    targets = []
    keys = [
        (name, segment >= 0) for name, segment in zip(names, segments, strict=True)
    ]  # an object and a predicate may share a name
    for label, is_object in dict.fromkeys(keys):
        mine = [i for i, key in enumerate(keys) if key == (label, is_object)]
        named = tuple(sorted({segments[i] for i in mine if segments[i] >= 0}))
        targets.append(Target(label, scaled[mine].mean(0), named))
    return targets


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


def hinge_loss(student: Tensor, wrong: Sequence[Sequence[tuple[int, Tensor, Tensor]]], share: float = 0.5) -> Tensor:
    """Student maps should lie nearer to where a word looks in the true prompt than to where it looks in one made wrong.

    student (B, L, h, w) raw attention; wrong: for each image (position, true map, wrong map) with maps (h, w) that sum
    to 1. The margin is ``share`` of the L1 distance between the two maps, so that it can be kept however near they are
    (after SPADE++'s counterfactual calibration, whose fixed margin exceeds any distance of raw maps).
    """
    terms = []
    for maps, triples in zip(student, wrong, strict=True):
        for position, true, false in triples:
            student_map = normalise(maps[position].float())
            right, away, apart = (
                (student_map - true).abs().sum(),
                (student_map - false).abs().sum(),
                (true - false).abs().sum(),
            )
            terms.append((right + share * apart - away).clamp(min=0))
    return torch.stack(terms).mean() if terms else student.sum() * 0


@torch.no_grad()
def match_maps(student: Tensor, targets: Tensor) -> list[int]:
    """The student's map (K, h, w, raw) that stands for each of M targets (h, w): least L1 distance in all, each used
    once.

    With more targets than maps, those left over get -1.
    """
    scaled = normalise(student.float()).flatten(1)
    cost = torch.cdist(targets.float().flatten(1), scaled, p=1)
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    matched = [-1] * len(targets)
    for row, column in zip(rows, columns, strict=True):
        matched[row] = int(column)
    return matched


def pointing_hit(attention: Tensor, mask: Tensor) -> tuple[bool, float, float]:
    """Does the map's maximum lie in the mask; the share of its mass inside; the mask's share of the area (chance).

    attention (h, w) raw; mask (h, w) bool on the same grid.
    """
    inside = mask.flatten()[int(attention.flatten().argmax())]
    scaled = normalise(attention.float())
    return bool(inside), float(scaled[mask].sum()), float(mask.float().mean())
