"""Names that training did not have: scored by what no training on annotation has touched, and given a share of their own.

A classifier that was trained on some names all but excludes the others, however well their text fits (generalised zero-shot learning;
Chao et al., 2016). So they are scored apart, by OpenCLIP's view of a region and by the UNet's attention to the name under it, and the
two kinds of names share the probability: the less sure the classifier is, the more of it goes to names that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

# Chosen on predicates hidden from training (benchmarks/novel_names.py): of all settings at which recall of all names together is no
# lower than with nothing for the hidden ones, the one that finds most of them.
ODDS = 4.0  # of names that training did not have, times those that untrained evidence gives them
SHARPNESS = 2.0  # of that evidence; the weights that fit best leave it timid


@dataclass(frozen=True)
class Evidence:
    """What is known of M regions or pairs without training: views (M, D), unit rows; looked (M, A, C), log attention to each name.

    A = 1 for a region, 2 for a pair: under the subject and under the object. Without attention C is 1, and all zero.
    """

    views: Tensor
    looked: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        """Of several pictures."""
        return cls(torch.cat([part.views for part in parts]), torch.cat([part.looked for part in parts]))


class UntrainedScores(nn.Module):
    """Logits of any names from evidence: a few weights that all names share, and the mean view, which every view resembles."""

    def __init__(self, clip_dim: int, masks: int) -> None:
        super().__init__()
        self.sharpness = SHARPNESS
        self.mean: Tensor
        self.weights: Tensor
        self.register_buffer("mean", torch.zeros(clip_dim))
        self.register_buffer("weights", torch.tensor([10.0, *([1.0] * masks)]))

    def forward(self, evidence: Evidence, texts: Tensor) -> Tensor:
        """(M, C) of evidence and the names' texts (C, D)."""
        views = (evidence.views - self.mean) @ (texts - texts.mean(0)).T
        return self.sharpness * (self.weights[0] * views + torch.einsum("a,mac->mc", self.weights[1:], evidence.looked))

    def fit(self, evidence: Evidence, texts: Tensor, names: Tensor) -> None:
        """Find mean and weights on annotated regions or pairs: names (M,) int64. What is learned says nothing of any one name."""
        if not len(names):
            return
        self.mean = evidence.views.mean(0)
        weights = self.weights.clone().requires_grad_()
        views = (evidence.views - self.mean) @ (texts - texts.mean(0)).T
        facts = torch.cat([views[:, None], evidence.looked.expand(-1, -1, len(texts))], dim=1)
        optimiser = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = cross_entropy(torch.einsum("a,mac->mc", weights, facts), names) + 1e-3 * weights.square().mean()
            value.backward()
            return value

        with torch.enable_grad():
            optimiser.step(loss)
        self.weights = weights.detach()


def doubt(logits: Tensor, is_learned: Tensor, unasked: Tensor) -> Tensor:
    """How unsure (..., 1) a classifier is: 1 - the probability of the likeliest name that is asked for, among all that training had.

    logits (..., C) of the names asked for, is_learned (C,) bool which of them training had, unasked (..., E) logits of the names that
    only training had: with few names asked for, the likeliest of them need not be likely.
    """
    every = torch.cat([logits.masked_fill(~is_learned, float("-inf")), unasked], dim=-1).softmax(-1)
    return 1 - every[..., : logits.shape[-1]].amax(-1, keepdim=True)


def shared_out(learned: Tensor, untrained: Tensor, is_learned: Tensor, odds: Tensor | float) -> Tensor:
    """Probabilities (..., C) with the total of ``learned`` (..., C): names of each kind share what their kind has.

    untrained (..., C) logits; is_learned (C,) bool; odds, one number or (..., 1). The names that training did not have get as much as
    ``untrained`` gives them beside the others, ``odds`` times as likely; that is shared by ``untrained``, the rest by ``learned``. With
    names of one kind only, these have all.
    """
    if bool(is_learned.all()):
        return learned
    total = learned.sum(-1, keepdim=True)
    every = untrained.softmax(-1)
    others = untrained.masked_fill(is_learned, float("-inf")).softmax(-1)
    if not bool(is_learned.any()):
        return total * others
    mass = odds * (every * ~is_learned).sum(-1, keepdim=True)
    share = mass / (mass + (every * is_learned).sum(-1, keepdim=True)).clamp(min=1e-12)
    own = learned * is_learned
    own = own / own.sum(-1, keepdim=True).clamp(min=1e-12)
    return total * ((1 - share) * own + share * others)


def trained_names(wanted: Sequence[Sequence[str]], known: Sequence[Sequence[str]]) -> Tensor:
    """Which of the wanted names (C,), each with its synonyms, training had under any of its own."""
    names = {name.casefold() for one in known for name in one}
    return torch.tensor([any(name.casefold() in names for name in one) for one in wanted], dtype=torch.bool)
