"""From overlapping mask proposals to one panoptic map: no pixel twice, every segment large and sure enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

MAP_PIXELS = 2_000_000  # larger images get their map at this many pixels, enlarged by nearest neighbour


@dataclass(frozen=True)
class PanopticRules:
    """Thresholds, on probabilities and on shares of the image, and what makes a proposal sure."""

    min_score: float = 0.25  # of a query's best label
    min_overlap: float = 0.5  # share of a query's own mask that must be left to it
    min_area: float = 0.0006  # of the image
    mask_confidence: bool = True  # a proposal is as sure as its label times the mean probability inside its mask
    suppression: float = 0.5  # IoU of two things above which the less sure one goes; 1 for none


@dataclass(frozen=True)
class PanopticSegment:
    """One segment. ``query`` is the proposal it came from: for merged stuff, the surest of them."""

    category: int
    score: float
    query: int


def panoptic_map(
    masks: Tensor,
    probabilities: Tensor,
    is_thing: Tensor,
    size: tuple[int, int],
    rules: PanopticRules = PanopticRules(),
) -> tuple[np.ndarray, list[PanopticSegment]]:
    """Map (H, W) int64 of segment numbers from 1, 0 = void, at the image's size (width, height), and what each number
    is.

    masks (Q, h, w) logits of the whole image; probabilities (Q, C + 1), the last column "no object"; is_thing (C,)
    bool.
    """
    keep = candidates(probabilities, rules)
    width, height = size
    shrink = min(1.0, (MAP_PIXELS / (width * height)) ** 0.5)
    inner = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    if not len(keep):
        return np.zeros((height, width), np.int64), []
    probabilities, sure = probabilities[keep], masks[keep].float().sigmoid()
    if rules.mask_confidence:
        probabilities = probabilities * mask_confidence(sure)[:, None]
    if rules.suppression < 1:
        left = unsuppressed(sure >= 0.5, probabilities, is_thing, rules.suppression)
        keep, probabilities = keep[left], probabilities[left]
    large = interpolate(masks[None, keep].float(), size=inner, mode="bilinear", align_corners=False)[0]
    panoptic, segments = merge_masks(large, probabilities, is_thing, rules)
    numbers = panoptic.cpu().numpy()
    if inner != (height, width):
        numbers = np.asarray(
            Image.fromarray(numbers.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        ).astype(np.int64)
    return numbers, [PanopticSegment(s.category, s.score, int(keep[s.query])) for s in segments]


def candidates(probabilities: Tensor, rules: PanopticRules) -> Tensor:
    """Indices of the proposals that are sure enough of a label; probabilities (Q, C + 1), the last column "no
    object".
    """
    best = probabilities[:, :-1].max(-1).values
    return torch.nonzero((best >= rules.min_score) & (best > probabilities[:, -1])).flatten()


def mask_confidence(masks: Tensor) -> Tensor:
    """The mean probability inside each mask (Q, h, w) in [0, 1]: (Q,), after Mask2Former's instance scores."""
    inside = masks >= 0.5
    return (masks * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def unsuppressed(masks: Tensor, probabilities: Tensor, is_thing: Tensor, most: float) -> Tensor:
    """Indices, in order, of the proposals that stay: of two things whose masks (Q, h, w) bool share more than ``most``
    (IoU), the less sure one goes; probabilities (Q, C + 1). Greedy, from the surest.
    """
    scores, categories = probabilities[:, :-1].max(-1)
    flat = masks.flatten(1).float()
    joint, area = flat @ flat.T, flat.sum(1)
    near = joint > most * (area[:, None] + area[None] - joint)
    thing = is_thing[categories]
    near &= thing[:, None] & thing[None]
    stays: list[int] = []
    for index in torch.argsort(scores, descending=True, stable=True).tolist():
        if not bool(near[index, stays].any()):
            stays.append(index)
    return torch.tensor(sorted(stays), dtype=torch.int64, device=masks.device)


def merge_masks(
    mask_logits: Tensor, probabilities: Tensor, is_thing: Tensor, rules: PanopticRules
) -> tuple[Tensor, list[PanopticSegment]]:
    """Panoptic map of ONE image: (H, W) int64, 0 = void, n = the n-th segment of the list.

    mask_logits (Q, H, W) of the candidates at the map's size; probabilities (Q, C + 1); is_thing (C,) bool.
    A pixel goes to the query with the largest probability x mask; proposals that keep less than ``min_overlap`` of
    their own mask are dropped; stuff of one class is one segment. Mask2Former's procedure, written anew: ids are never
    reused, and masks are not scaled by the score before the overlap test.
    """
    height, width = mask_logits.shape[-2:]
    panoptic = torch.zeros((height, width), dtype=torch.int64, device=mask_logits.device)
    segments: list[PanopticSegment] = []
    if not len(mask_logits):
        return panoptic, segments
    scores, categories = probabilities[:, :-1].max(-1)
    masks = mask_logits.float().sigmoid()
    owner = (scores[:, None, None] * masks).argmax(0)
    stuff_place: dict[int, int] = {}
    for index in torch.argsort(scores, descending=True, stable=True).tolist():
        mask = masks[index] >= 0.5
        visible = mask & (owner == index)
        area = int(visible.sum())
        if area < max(1.0, rules.min_area * height * width) or area < rules.min_overlap * int(mask.sum()):
            continue
        category = int(categories[index])
        if not bool(is_thing[category]) and category in stuff_place:
            panoptic[visible] = stuff_place[category]
            continue
        segments.append(PanopticSegment(category, float(scores[index]), index))
        panoptic[visible] = len(segments)
        if not bool(is_thing[category]):
            stuff_place[category] = len(segments)
    return panoptic, segments
