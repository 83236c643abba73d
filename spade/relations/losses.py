"""Stage 2's losses for one batch: L_mask + L_rel + 0.6 L_rqc (SPADE), and the pair term that ranks pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate, mse_loss

from spade.relations.drawing import DrawnPairs, draw_pairs
from spade.relations.model import Heads, Nodes, RelationConfig, RelationHeads, RelationScores
from spade.relations.nodes import mask_boxes
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


def prior_of(counts: Tensor) -> Tensor:
    """Share of each predicate (P,) among relations, from their counts; one is added to each."""
    more = counts.float() + 1
    return more / more.sum()


@dataclass(frozen=True)
class Imbalance:
    """What is done about rare predicates: ``log_prior`` (P,) is added to the logits in training, ``weight`` (P,) scales their loss."""

    log_prior: Tensor | None = None
    weight: Tensor | None = None

    @classmethod
    def of(cls, kind: str, counts: Tensor, strength: float) -> Imbalance:
        """kind: none; adjust, by ``strength`` of the log prior (Menon et al., 2021); reweight, by the prior to minus that power.

        counts (P,): relations of each predicate in training. Weights have mean 1 over relations.
        """
        prior = prior_of(counts)
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
    found: Sequence[bool] | None = None,
) -> dict[str, Tensor]:
    """Weighted loss terms of a batch.

    features fine to coarse, (B, C_i, H_i, W_i), attention (B, C + P, h, w); objects (C, D_clip), predicates (P, D_clip).
    Relations are learned on the annotated segments, each with the query that stands for it; ``found``: see ``annotated_nodes``.
    """
    proposals, classes = heads.proposer(features, objects, attention)
    mask = criterion.weighted(proposals.masks, classes, [t.masks for t in truths], [t.classes for t in truths], [t.unnamed for t in truths])
    if not any(weights[name] for name in ("rel", "pair", "rqc")):
        return {"mask": weights["mask"] * mask}
    found = [False] * len(truths) if found is None else found
    images, kept = annotated_nodes(proposals, classes[-1], truths, objects, heads.relations.config, attention, found)
    return {"mask": weights["mask"] * mask} | relation_losses(
        heads.relations, images, kept, proposals.memory, predicates, weights, imbalance, places=proposals.places
    )


def annotated_nodes(
    proposals: Proposals,
    classes: Tensor,
    truths: Sequence[Truth],
    objects: Tensor,
    config: RelationConfig,
    attention: Tensor | None,
    found: Sequence[bool],
) -> tuple[list[Nodes], list[Tensor]]:
    """The annotated segments, each with the query that stands for it, and their triples (R_i, 3), renumbered.

    classes (B, Q, C + 1) logits of the last layer; objects (C, D_clip); attention (B, C + P, h, w). ``found``: of which images the
    queries' own masks are taken where they fit, as a test that gives no segments will have them, and not the annotated ones.
    Segments for which no query is left are dropped.
    """
    grid = (proposals.pixels.shape[-2], proposals.pixels.shape[-1])
    images, kept = [], []
    for i, truth in enumerate(truths):
        masks = shrink_masks(truth.masks, grid)
        matched = match_queries(proposals.masks[-1][i], classes[i], masks, truth.classes)
        held = torch.nonzero(matched >= 0).flatten()
        query, label = proposals.queries[-1][i][matched[held]], objects[truth.classes[held]]
        predicates = None if attention is None else attention[i, len(objects) :]
        whole = truth.masks[held]
        if found[i]:
            whole = _fitting(proposals.masks[-1][i][matched[held]].detach(), whole)
        boxes, masks = mask_boxes(whole), shrink_masks(whole, grid)
        images.append(Nodes.of(query, proposals.pixels[i], label, masks, boxes, config, predicates))
        kept.append(_renumber(truth.triples, held, len(truth.classes)))
    return images, kept


def _fitting(logits: Tensor, masks: Tensor) -> Tensor:
    """The masks of logits (N, h, w) at the size of the annotated ``masks`` (N, H, W), which stay where less than a half is shared."""
    if not len(masks):
        return masks
    own = (interpolate(logits[None].float(), size=masks.shape[-2:], mode="bilinear", align_corners=False)[0] > 0).float()
    joint, either = (own * masks).sum((1, 2)), torch.maximum(own, masks).sum((1, 2))
    return torch.where((joint > 0.5 * either)[:, None, None], own, masks)


def relation_losses(
    heads: RelationHeads,
    images: Sequence[Nodes],
    triples: Sequence[Tensor],
    memory: Tensor | None,
    predicates: Tensor,
    weights: Mapping[str, float] = WEIGHTS,
    imbalance: Imbalance = Imbalance(),
    most: int = MAX_PAIRS,
    places: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms of relations alone. triples (R_i, 3) of the nodes; memory (B, T, D) or None; predicates (P, D_clip).

    One predicate a pair counts, drawn at random where several are annotated. most: ordered pairs an image that are decoded.
    places: of the memory (1, T, D).
    """
    drawn = draw_pairs([own.cpu() for own in triples], [len(nodes) for nodes in images], most).to(predicates.device)
    scored = heads.relate(images, memory, predicates, drawn.pairs.split(drawn.counts), places)
    return _weighted(scored, drawn, weights, imbalance)


def _weighted(scored: Sequence[RelationScores], drawn: DrawnPairs, weights: Mapping[str, float], imbalance: Imbalance) -> dict[str, Tensor]:
    """The terms. P(pair) learns its odds among all of a picture's pairs (King and Zeng, 2001), not among the drawn ones: else it is near 1
    in pictures of many segments, and ranks nothing beside P(predicate | pair).
    """
    alike = torch.cat([scores.similarity.flatten() for scores in scored])[drawn.apart]
    similar = mse_loss(alike, drawn.wanted, reduction="none")
    likely = torch.cat([scores.pair_logits for scores in scored]) + drawn.rarer
    paired = binary_cross_entropy_with_logits(likely, (drawn.names >= 0).to(likely.dtype), reduction="none")
    logits, right = torch.cat([scores.predicate_logits for scores in scored])[drawn.told], drawn.names[drawn.told]
    if imbalance.log_prior is not None:
        logits = logits + imbalance.log_prior
    weight = None if imbalance.weight is None else imbalance.weight[right]
    terms = {
        "rel": _mean(cross_entropy(logits, right, reduction="none"), drawn.told_counts, weight),
        "pair": _mean(paired, drawn.counts),
        "rqc": _mean(similar, drawn.apart_counts),
    }
    return {name: weights[name] * value for name, value in terms.items()}


def _mean(values: Tensor, counts: Sequence[int], weight: Tensor | None = None) -> Tensor:
    """Mean over images of each image's mean; ``values`` (M,) holds ``counts`` of each. Images without any do not count.

    Weights scale the values and no more: divided by their own sum they would cancel in an image whose relations are of one predicate.
    """
    values = values if weight is None else weight * values
    number = torch.tensor(counts, device=values.device)
    image = torch.arange(len(counts), device=values.device).repeat_interleave(number, output_size=len(values))
    total, some = values.new_zeros(len(counts)).index_add(0, image, values), number > 0
    return (total[some] / number[some]).mean() if bool(some.any()) else values.sum() * 0


def _renumber(triples: Tensor, held: Tensor, count: int) -> Tensor:
    """Triples in the numbering of the held segments; those that lost a segment are dropped."""
    place = torch.full((count,), -1, dtype=torch.int64, device=triples.device)
    place[held] = torch.arange(len(held), device=triples.device)
    moved = torch.stack([place[triples[:, 0]], place[triples[:, 1]], triples[:, 2]], dim=1)
    return moved[(moved[:, :2] >= 0).all(1)]
