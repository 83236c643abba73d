"""Stage 2's losses for one batch: L_mask + L_rel + 0.6 L_rqc (SPADE), and the pair term that ranks pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from spade.relations.head import RelationHead, RelationScores
from spade.relations.nodes import Nodes
from spade.relations.pair_sampling import SampledPairs, sample_pairs

MAX_PAIRS = 128  # ordered pairs an image that the relation decoder sees in training


def prior_of(counts: Tensor) -> Tensor:
    """Share of each predicate (P,) among relations, from their counts; one is added to each."""
    more = counts.float() + 1
    return more / more.sum()


@dataclass(frozen=True)
class Imbalance:
    """What is done about rare predicates: ``log_prior`` (P,) is added to the logits in training, ``weight`` (P,) scales
    their loss.
    """

    log_prior: Tensor | None = None
    weight: Tensor | None = None

    @classmethod
    def of(cls, counts: Tensor, logit_adjustment: float = 0.0, reweighting: float = 0.0) -> Imbalance:
        """Of ``counts`` (P,), the relations of each predicate in training.

        logit_adjustment: the share of the log prior that is added to logits (Menon et al., 2021). reweighting: the loss
        is weighed by the prior to minus that power; weights have mean 1 over relations.
        """
        prior = prior_of(counts)
        weight = prior**-reweighting
        return cls(
            logit_adjustment * prior.log() if logit_adjustment else None,
            weight / (weight * prior).sum() if reweighting else None,
        )


NO_IMBALANCE = Imbalance()


def relation_losses(
    heads: RelationHead,
    images: Sequence[Nodes],
    triples: Sequence[Tensor],
    memory: Tensor | None,
    predicates: Tensor,
    weights: Mapping[str, float],
    imbalance: Imbalance = NO_IMBALANCE,
    most: int = MAX_PAIRS,
    positions: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms of relations alone. triples (R_i, 3) of the nodes; memory (B, T, D) or None; predicates (P, D_clip).

    One predicate a pair counts, drawn at random where several are annotated. most: ordered pairs an image that are
    decoded.
    positions: the memory's positional encoding (1, T, D).
    """
    sampled = sample_pairs([rows.cpu() for rows in triples], [len(nodes) for nodes in images], most).to(
        predicates.device
    )
    scored = heads.relate(images, memory, predicates, sampled.pairs.split(sampled.counts), positions)
    return _weighted(scored, sampled, weights, imbalance)


def _weighted(
    scored: Sequence[RelationScores], sampled: SampledPairs, weights: Mapping[str, float], imbalance: Imbalance
) -> dict[str, Tensor]:
    """The terms. P(pair) learns its odds among all of an image's pairs (King and Zeng, 2001), not among the drawn
    ones: else it is near 1 in images of many segments, and ranks nothing beside P(predicate | pair).
    """
    alike = torch.cat([scores.similarity.flatten() for scores in scored])[sampled.off_diagonal]
    similar = mse_loss(alike, sampled.related_cells, reduction="none")
    likely = torch.cat([scores.pair_logits for scores in scored]) + sampled.log_odds_offset
    paired = binary_cross_entropy_with_logits(likely, (sampled.predicates_of >= 0).to(likely.dtype), reduction="none")
    logits, right = (
        torch.cat([scores.predicate_logits for scores in scored])[sampled.annotated],
        sampled.predicates_of[sampled.annotated],
    )
    if imbalance.log_prior is not None:
        logits = logits + imbalance.log_prior
    weight = None if imbalance.weight is None else imbalance.weight[right]
    terms = {
        "rel": _mean(cross_entropy(logits, right, reduction="none"), sampled.annotated_counts, weight),
        "pair": _mean(paired, sampled.counts),
        "rqc": _mean(similar, sampled.off_diagonal_counts),
    }
    return {name: weights[name] * value for name, value in terms.items()}


def _mean(values: Tensor, counts: Sequence[int], weight: Tensor | None = None) -> Tensor:
    """Mean over images of each image's mean; ``values`` (M,) holds ``counts`` of each. Images without any do not count.

    Weights scale the values and no more: divided by their own sum they would cancel in an image whose relations are of
    one predicate.
    """
    values = values if weight is None else weight * values
    number = torch.tensor(counts, device=values.device)
    image = torch.arange(len(counts), device=values.device).repeat_interleave(number, output_size=len(values))
    total, some = values.new_zeros(len(counts)).index_add(0, image, values), number > 0
    return (total[some] / number[some]).mean() if bool(some.any()) else values.sum() * 0
