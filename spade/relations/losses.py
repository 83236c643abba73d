"""Stage 2's losses for one batch: L_mask + L_rel + 0.6 L_rqc (SPADE), and the pair term that ranks pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from spade.relations.model import Heads, Nodes, RelationConfig, RelationHeads
from spade.segmentation.mask_generator import MaskLoss, Proposals, match_queries, shrink_masks

WEIGHTS = {"mask": 1.0, "rel": 1.0, "pair": 1.0, "rqc": 0.6}
MAX_PAIRS = 128  # ordered pairs an image that the relation decoder sees in training


@dataclass(frozen=True)
class Truth:
    """Annotation of ONE image: masks (N, H, W) float, classes (N,) int64, triples (R, 3) int64 (subject, object, predicate).

    ``unnamed`` (V, H, W): regions that nobody named, to be found as segments all the same.
    """

    masks: Tensor
    classes: Tensor
    triples: Tensor
    unnamed: Tensor

    def to(self, device: torch.device) -> Truth:
        """On a device, masks as numbers."""
        return Truth(self.masks.float().to(device), self.classes.to(device), self.triples.to(device), self.unnamed.float().to(device))


@dataclass(frozen=True)
class Imbalance:
    """What is done about rare predicates: ``log_prior`` (P,) is added to the logits in training, ``weight`` (P,) scales their loss."""

    log_prior: Tensor | None = None
    weight: Tensor | None = None

    @classmethod
    def of(cls, kind: str, counts: Tensor, strength: float) -> Imbalance:
        """kind: none; adjust, by ``strength`` of the log prior (Menon et al., 2021); reweight, by the prior to minus that power.

        counts (P,): relations of each predicate in training; one is added to each. Weights have mean 1 over relations.
        """
        prior = (counts.float() + 1) / (counts.float() + 1).sum()
        if kind == "adjust":
            return cls(log_prior=strength * prior.log())
        if kind == "reweight":
            weight = prior**-strength
            return cls(weight=weight / (weight * prior).sum())
        return cls()


def stage2_losses(
    heads: Heads,
    criterion: MaskLoss,
    features: Sequence[Tensor],
    attention: Tensor | None,
    truths: Sequence[Truth],
    objects: Tensor,
    predicates: Tensor,
    weights: Mapping[str, float] = WEIGHTS,
    imbalance: Imbalance = Imbalance(),
) -> dict[str, Tensor]:
    """Weighted loss terms of a batch.

    features fine to coarse, (B, C_i, H_i, W_i), attention (B, C + P, h, w); objects (C, D_clip), predicates (P, D_clip).
    Relations are learned on the annotated segments, each with the query that stands for it.
    """
    proposals, classes = heads.proposer(features, objects, attention)
    mask = criterion.weighted(proposals.masks, classes, [t.masks for t in truths], [t.classes for t in truths], [t.unnamed for t in truths])
    if not any(weights[name] for name in ("rel", "pair", "rqc")):
        return {"mask": weights["mask"] * mask}
    images, kept = annotated_nodes(proposals, classes[-1], truths, objects, heads.relations.config, attention)
    return {"mask": weights["mask"] * mask} | relation_losses(
        heads.relations, images, kept, proposals.memory, predicates, weights, imbalance
    )


def annotated_nodes(
    proposals: Proposals, classes: Tensor, truths: Sequence[Truth], objects: Tensor, config: RelationConfig, attention: Tensor | None
) -> tuple[list[Nodes], list[Tensor]]:
    """The annotated segments, each with the query that stands for it, and their triples (R_i, 3), renumbered.

    classes (B, Q, C + 1) logits of the last layer; objects (C, D_clip); attention (B, C + P, h, w).
    Segments for which no query is left are dropped.
    """
    grid = (proposals.pixels.shape[-2], proposals.pixels.shape[-1])
    images, kept = [], []
    for i, truth in enumerate(truths):
        masks = shrink_masks(truth.masks, grid)
        found = match_queries(proposals.masks[-1][i], classes[i], masks, truth.classes)
        held = torch.nonzero(found >= 0).flatten()
        query, label = proposals.queries[-1][i][found[held]], objects[truth.classes[held]]
        predicates = None if attention is None else attention[i, len(objects) :]
        images.append(Nodes.of(query, proposals.pixels[i], label, masks[held], config, predicates))
        kept.append(_renumber(truth.triples, held, len(truth.classes)))
    return images, kept


def relation_losses(
    heads: RelationHeads,
    images: Sequence[Nodes],
    triples: Sequence[Tensor],
    memory: Tensor | None,
    predicates: Tensor,
    weights: Mapping[str, float] = WEIGHTS,
    imbalance: Imbalance = Imbalance(),
) -> dict[str, Tensor]:
    """The terms of relations alone. triples (R_i, 3) of the nodes; memory (B, T, D) or None; predicates (P, D_clip).

    One predicate a pair counts, drawn at random where several are annotated.
    """
    targets, asked = [], []
    for nodes, own in zip(images, triples, strict=True):
        target = torch.zeros((len(nodes), len(nodes)), device=predicates.device)
        target[own[:, 0], own[:, 1]] = 1
        targets.append(target)
        asked.append(_training_pairs(target))
    relation: list[Tensor] = []
    related: list[Tensor] = []
    similar: list[Tensor] = []
    scored = heads.relate(images, memory, predicates, asked)
    for scores, own, target in zip(scored, triples, targets, strict=True):
        count = len(target)
        if count < 2:
            continue
        off_diagonal = ~torch.eye(count, dtype=torch.bool, device=predicates.device)
        similar.append(mse_loss(scores.similarity[off_diagonal], target[off_diagonal]))
        related.append(binary_cross_entropy_with_logits(scores.pair_logits, target[scores.pairs[:, 0], scores.pairs[:, 1]]))
        if len(own):
            names = _one_predicate_a_pair(own, count)[scores.pairs[:, 0], scores.pairs[:, 1]]
            logits = scores.predicate_logits[names >= 0]
            if imbalance.log_prior is not None:
                logits = logits + imbalance.log_prior
            relation.append(cross_entropy(logits, names[names >= 0], weight=imbalance.weight))
    zero = torch.stack([scores.similarity.sum() for scores in scored]).sum() * 0  # of images without a pair
    terms = {"rel": relation, "pair": related, "rqc": similar}
    return {name: weights[name] * torch.stack(values).mean() if values else zero for name, values in terms.items()}


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
