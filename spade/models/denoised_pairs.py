"""Predicates that training did not have, told apart by how well the UNet denoises a pair under each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spade.diffusion.backbone import Backbone
from spade.diffusion.denoising import caption_scores, denoising_errors
from spade.diffusion.prompts import relation_text


def told_apart(
    backbone: Backbone,
    latents: Tensor,
    labels: Sequence[str],
    boxes: Tensor,
    pairs: Tensor,
    related: Tensor,
    predicates: Tensor,
    names: Sequence[str],
    is_seen: Tensor,
    most: int,
) -> Tensor:
    """Probabilities (R, P) of predicates for pairs (R, 2), in which the ``most`` likeliest pairs share what their
    unseen predicates have by the denoising error of "subject is predicate object" in the box of both.

    related (R,) is P(pair), predicates (R, P) what is known so far, ``names`` of them, is_seen (P,) bool which of them
    training had; labels of the segments, boxes (N, 4) xyxy in shares of the image; latents (1, D, h, w) of it.
    """
    unseen = torch.nonzero(~is_seen).flatten().tolist()
    if len(unseen) < 2 or not len(pairs):
        return predicates
    better = predicates.clone()
    likely = torch.argsort(related * predicates.amax(1), descending=True, stable=True)[:most]
    for row in likely.tolist():
        subject, target = pairs[row].tolist()
        low = torch.minimum(boxes[subject, :2], boxes[target, :2])
        high = torch.maximum(boxes[subject, 2:], boxes[target, 2:])
        captions = [relation_text([(labels[subject], names[p], labels[target])]) for p in unseen]
        x1, y1, x2, y2 = (float(value) for value in (*low, *high))
        shares = caption_scores(denoising_errors(backbone, latents, captions, (x1, y1, x2, y2))).softmax(0)
        better[row, unseen] = predicates[row, unseen].sum() * shares.to(predicates)
    return better
