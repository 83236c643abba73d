"""Stage 2's losses for one batch: L_mask + L_rel + 0.6 L_rqc (SPADE), and the pair term that ranks pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from spade.relations.model import Heads, Nodes
from spade.segmentation.mask_generator import MaskLoss, match_queries, shrink_masks

RQC_WEIGHT = 0.6
MAX_PAIRS = 128  # ordered pairs an image that the relation decoder sees in training


@dataclass(frozen=True)
class Truth:
    """Annotation of ONE image: masks (N, H, W) float, classes (N,) int64, triples (R, 3) int64 (subject, object, predicate)."""

    masks: Tensor
    classes: Tensor
    triples: Tensor


def stage2_losses(
    heads: Heads, criterion: MaskLoss, features: Sequence[Tensor], truths: Sequence[Truth], objects: Tensor, predicates: Tensor
) -> dict[str, Tensor]:
    """Weighted loss terms of a batch. features fine to coarse, (B, C_i, H_i, W_i); objects (C, D_clip), predicates (P, D_clip).

    Relations are learned on the annotated segments, each with the query that stands for it.
    """
    proposals, classes = heads.propose(features, objects)
    terms = {"mask": criterion.weighted(proposals.masks, classes, [t.masks for t in truths], [t.classes for t in truths])}
    grid = (proposals.pixels.shape[-2], proposals.pixels.shape[-1])
    images, kept = [], []
    for i, truth in enumerate(truths):
        masks = shrink_masks(truth.masks, grid)
        found = match_queries(proposals.masks[-1][i], classes[-1][i], masks, truth.classes)
        held = torch.nonzero(found >= 0).flatten()
        images.append(Nodes(proposals.queries[-1][i][found[held]], masks[held], objects[truth.classes[held]]))
        kept.append(_renumber(truth.triples, held, len(truth.classes)))
    refined, _ = heads.refine(images, proposals.pixels)
    relation: list[Tensor] = []
    related: list[Tensor] = []
    similar: list[Tensor] = []
    for i, (nodes, triples) in enumerate(zip(images, kept, strict=True)):
        count = len(nodes.masks)
        if count < 2:
            continue
        target = torch.zeros((count, count), device=refined.device)
        target[triples[:, 0], triples[:, 1]] = 1
        pairs = _training_pairs(target)
        scores = heads.relate(refined[i, :count], nodes.masks, proposals.memory[i], predicates, pairs)
        off_diagonal = ~torch.eye(count, dtype=torch.bool, device=refined.device)
        similar.append(mse_loss(scores.similarity[off_diagonal], target[off_diagonal]))
        related.append(binary_cross_entropy_with_logits(scores.pair_logits, target[pairs[:, 0], pairs[:, 1]]))
        if len(triples):
            names = _one_predicate_a_pair(triples, count)
            labelled = names[pairs[:, 0], pairs[:, 1]]
            relation.append(cross_entropy(scores.predicate_logits[labelled >= 0], labelled[labelled >= 0]))
    zero = proposals.pixels.sum() * 0
    terms["rel"] = torch.stack(relation).mean() if relation else zero
    terms["pair"] = torch.stack(related).mean() if related else zero
    terms["rqc"] = RQC_WEIGHT * torch.stack(similar).mean() if similar else zero
    return terms


def _renumber(triples: Tensor, held: Tensor, count: int) -> Tensor:
    """Triples in the numbering of the held segments; those that lost a segment are dropped."""
    place = torch.full((count,), -1, dtype=torch.int64, device=triples.device)
    place[held] = torch.arange(len(held), device=triples.device)
    moved = torch.stack([place[triples[:, 0]], place[triples[:, 1]], triples[:, 2]], dim=1)
    return moved[(moved[:, :2] >= 0).all(1)]


def _training_pairs(target: Tensor) -> Tensor:
    """All annotated pairs and, up to ``MAX_PAIRS`` in all, others drawn at random."""
    positive = torch.nonzero(target)
    others = torch.nonzero((target == 0) & ~torch.eye(len(target), dtype=torch.bool, device=target.device))
    room = max(len(positive), MAX_PAIRS - len(positive))
    if len(others) > room:
        others = others[torch.randperm(len(others))[:room].to(others.device)]
    return torch.cat([positive, others])


def _one_predicate_a_pair(triples: Tensor, count: int) -> Tensor:
    """(N, N) predicate of each ordered pair, drawn at random where several are annotated; -1 elsewhere."""
    names = torch.full((count, count), -1, dtype=torch.int64, device=triples.device)
    order = torch.randperm(len(triples)).to(triples.device)
    for subject, target, predicate in triples[order].tolist():
        names[subject, target] = predicate
    return names
