"""All of stage 2's losses for one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import box_iou

from spade.models.heads import Heads
from spade.relations.config import RelationHeadConfig
from spade.relations.losses import NO_IMBALANCE, Imbalance, relation_losses
from spade.relations.mask_geometry import mask_boxes
from spade.relations.nodes import Nodes
from spade.segmentation.boxes import box_cells
from spade.segmentation.losses import MaskLoss
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.matching import match_queries, shrink_masks
from spade.training.targets import Truth


def stage2_losses(
    heads: Heads,
    criterion: MaskLoss,
    features: Sequence[Tensor],
    attention: Tensor | None,
    truths: Sequence[Truth],
    objects: Tensor,
    predicates: Tensor,
    weights: Mapping[str, float],
    imbalance: Imbalance = NO_IMBALANCE,
    on_found_masks: Sequence[bool] | None = None,
) -> dict[str, Tensor]:
    """Weighted loss terms of a batch: L_mask + L_rel + 0.6 L_rqc (SPADE), and the pair term that ranks pairs.

    features fine to coarse, (B, C_i, H_i, W_i), attention (B, C + P, h, w); objects (C, D_clip), predicates (P,
    D_clip). Relations are learned on the annotated segments, each with the query that stands for it; ``found``: see
    ``annotated_nodes``.
    """
    proposals, classes = heads.proposer(features, objects, attention)
    mask = criterion.weighted(
        *(proposals.masks, classes, [t.masks for t in truths], [t.classes for t in truths]),
        *([t.unnamed for t in truths], proposals.boxes, [t.boxes for t in truths]),
        voids=[t.void for t in truths],
    )
    if not any(weights[name] for name in ("rel", "pair", "rqc")):
        return {"mask": weights["mask"] * mask}
    on_found_masks = [False] * len(truths) if on_found_masks is None else on_found_masks
    images, triples = annotated_nodes(proposals, classes[-1], truths, objects, heads.relations.config, on_found_masks)
    return {"mask": weights["mask"] * mask} | relation_losses(
        heads.relations,
        images,
        triples,
        proposals.memory,
        predicates,
        weights,
        imbalance,
        positions=proposals.positions,
    )


def annotated_nodes(
    proposals: Proposals,
    classes: Tensor,
    truths: Sequence[Truth],
    objects: Tensor,
    config: RelationHeadConfig,
    found: Sequence[bool],
) -> tuple[list[Nodes], list[Tensor]]:
    """The annotated segments, each with the query that stands for it, and their triples (R_i, 3), renumbered.

    classes (B, Q, C + 1) logits of the last layer; objects (C, D_clip). ``found``: of which images the queries' own
    masks are taken where they fit, as a test that gives no segments will have them, and not the annotated ones.
    Segments for which no query is left are dropped.
    """
    grid = (proposals.pixels.shape[-2], proposals.pixels.shape[-1])
    images, triples = [], []
    for i, truth in enumerate(truths):
        masks = shrink_masks(truth.masks, grid)
        matched = match_queries(proposals.masks[-1][i], classes[i], masks, truth.classes)
        held = torch.nonzero(matched >= 0).flatten()
        query, label = proposals.queries[-1][i][matched[held]], objects[truth.classes[held]]
        if truth.boxes is not None:
            boxes = truth.boxes[held]
            if found[i]:
                boxes = boxes_where_fitting(proposals.boxes[-1][i][matched[held]].detach(), boxes)
            masks = box_cells(boxes, grid)
        else:
            whole = truth.masks[held]
            if found[i]:
                whole = found_where_fitting(proposals.masks[-1][i][matched[held]].detach(), whole)
            boxes, masks = mask_boxes(whole), shrink_masks(whole, grid)
        images.append(Nodes.of(query, proposals.pixels[i], label, masks, boxes, config))
        triples.append(renumbered(truth.triples, held, len(truth.classes)))
    return images, triples


def found_where_fitting(logits: Tensor, masks: Tensor) -> Tensor:
    """Logits (N, h, w) as masks at the size of the annotated ``masks`` (N, H, W), which stay where they share too
    little.
    """
    if not len(masks):
        return masks
    thresholded = (
        interpolate(logits[None].float(), size=masks.shape[-2:], mode="bilinear", align_corners=False)[0] > 0
    ).float()
    joint, either = (thresholded * masks).sum((1, 2)), torch.maximum(thresholded, masks).sum((1, 2))
    return torch.where((joint > 0.5 * either)[:, None, None], thresholded, masks)


def boxes_where_fitting(found: Tensor, boxes: Tensor) -> Tensor:
    """Found boxes (N, 4) where they share enough (IoU) with the annotated ones, which stay elsewhere."""
    fits = box_iou(found, boxes).diagonal() > 0.5
    return torch.where(fits[:, None], found, boxes)


def renumbered(triples: Tensor, held: Tensor, count: int) -> Tensor:
    """Triples in the numbering of the held segments; those that lost a segment are dropped."""
    place = torch.full((count,), -1, dtype=torch.int64, device=triples.device)
    place[held] = torch.arange(len(held), device=triples.device)
    moved = torch.stack([place[triples[:, 0]], place[triples[:, 1]], triples[:, 2]], dim=1)
    return moved[(moved[:, :2] >= 0).all(1)]
