"""What is known of regions and pairs without any training on annotation: OpenCLIP's views of them, and where the UNet
looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid

from spade.open_vocabulary.attention_ratio import attention_ratio
from spade.open_vocabulary.clip import OpenClip


def region_evidence(clip: OpenClip, cells: Tensor, masks: Tensor, attention: Tensor | None) -> ZeroShotEvidence:
    """Of masks (N, h, w) in [0, 1]; cells (D, h', w') OpenCLIP's of the image, attention (C, h'', w'') to the names,
    if any.
    """
    return ZeroShotEvidence(clip.pooled(cells, masks), _log_ratio(masks, attention)[:, None])


def pair_evidence(
    clip: OpenClip, cells: Tensor, masks: Tensor, pairs: Tensor, attention: Tensor | None = None
) -> ZeroShotEvidence:
    """Of ordered pairs (R, 2) of masks (N, h, w): the view of both together; attention (P, h'', w'') under each of the
    two, which models do not heed (docs/results/open-names.md).
    """
    subject, target = pairs.unbind(1)
    ratio = _log_ratio(masks, attention)
    return ZeroShotEvidence(
        clip.pooled(cells, torch.maximum(masks[subject], masks[target])),
        torch.stack([ratio[subject], ratio[target]], dim=1),
    )


def _log_ratio(masks: Tensor, attention: Tensor | None) -> Tensor:
    """Log attention under each mask as a multiple of the image's, (N, C); without attention one column of zeros,
    which says nothing.
    """
    if attention is None:
        return masks.new_zeros((len(masks), 1))
    return attention_ratio(masks[None].float(), attention[None].float())[0].log()


SHARPNESS = 2.0  # of that evidence; the weights that fit best leave it timid


@dataclass(frozen=True)
class ZeroShotEvidence:
    """What is known of M regions or pairs without training: views (M, D), unit rows; attention (M, A, C), log attention
    ratio of each name.

    A = 1 for a region, 2 for a pair: under the subject and under the object. Without attention C is 1, and all zero.
    """

    views: Tensor
    attention: Tensor

    @classmethod
    def joined(cls, parts: Sequence[ZeroShotEvidence]) -> ZeroShotEvidence:
        """Of several images."""
        return cls(torch.cat([part.views for part in parts]), torch.cat([part.attention for part in parts]))


class UnseenScorer(nn.Module):
    """Logits of any names from evidence: a few weights that all names share, and the mean view, which every view
    resembles.
    """

    def __init__(self, clip_dim: int, masks: int) -> None:
        super().__init__()
        self.sharpness = SHARPNESS
        self.mean: Tensor
        self.weights: Tensor
        self.register_buffer("mean", torch.zeros(clip_dim))
        self.register_buffer("weights", torch.tensor([10.0, *([1.0] * masks)]))

    def forward(self, evidence: ZeroShotEvidence, texts: Tensor) -> Tensor:
        """(M, C) of evidence and the names' texts (C, D)."""
        views = (evidence.views - self.mean) @ (texts - texts.mean(0)).T
        return self.sharpness * (
            self.weights[0] * views + torch.einsum("a,mac->mc", self.weights[1:], evidence.attention)
        )

    def fit(self, evidence: ZeroShotEvidence, texts: Tensor, names: Tensor) -> None:
        """Find mean and weights on annotated regions or pairs: names (M,) int64. What is learned says nothing of any
        one name.
        """
        if not len(names):
            return
        self.mean = evidence.views.mean(0)
        weights = self.weights.clone().requires_grad_()
        views = (evidence.views - self.mean) @ (texts - texts.mean(0)).T
        facts = torch.cat([views[:, None], evidence.attention.expand(-1, -1, len(texts))], dim=1)
        optimiser = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = cross_entropy(torch.einsum("a,mac->mc", weights, facts), names) + 1e-3 * weights.square().mean()
            value.backward()
            return value

        with torch.enable_grad():
            optimiser.step(loss)
        self.weights = weights.detach()


@dataclass(frozen=True)
class Naming:
    """Regions or pairs (M) that are to be named: a trained classifier's probabilities ``scores`` (M, C) and logits (M,
    C), the names' texts (C, D), and which of them training had, ``is_seen`` (C,) bool; ``kinds`` (M, C) of regions:
    see ``kind_evidence``.
    """

    scores: Tensor
    logits: Tensor
    texts: Tensor
    is_seen: Tensor
    kinds: Tensor | float = 0.0


def kind_evidence(logits: Tensor, things: Tensor, asked: Tensor) -> Tensor:
    """Log probability (M, C) that regions are of the kind, thing or stuff, of each name asked for, by a classifier's
    logits (M, S) of the names that training had: sand is no name that it knows, and looks more like grass than like a
    cat. things (S,) and asked (C,) bool. Where training had one kind alone nothing is known of the other: zeros.
    """
    if bool(things.all()) or not bool(things.any()):
        return logits.new_zeros((len(logits), len(asked)))
    odds = logits[:, things].logsumexp(-1) - logits[:, ~things].logsumexp(-1)
    return logsigmoid(torch.where(asked, odds[:, None], -odds[:, None]))


def gate(logits: Tensor, is_seen: Tensor, other_seen: Tensor) -> Tensor:
    """How unsure (..., 1) a classifier is: 1 - the probability of the likeliest name asked for, among all that training
    had.

    logits (..., C) of the names asked for, is_seen (C,) bool which of them training had, other_seen (..., E) logits of
    the names that only training had: with few names asked for, the likeliest of them need not be likely.
    """
    every = torch.cat([logits.masked_fill(~is_seen, float("-inf")), other_seen], dim=-1).softmax(-1)
    return 1 - every[..., : logits.shape[-1]].amax(-1, keepdim=True)


def mix_seen_unseen(
    seen: Tensor, zero_shot: Tensor, is_seen: Tensor, odds: Tensor | float, kinds: Tensor | float = 0.0
) -> Tensor:
    """Probabilities (..., C) with the total of ``seen`` (..., C): names of each kind share what their kind has.

    zero_shot (..., C) logits; is_seen (C,) bool; odds, one number or (..., 1). The names that training did not have get
    as much as ``zero_shot`` gives them beside the others, ``odds`` times as likely; that is shared by ``zero_shot`` +
    ``kinds`` (of ``kind_evidence``), the rest by ``seen``. Where all names or none are seen, these have all.
    """
    if bool(is_seen.all()):
        return seen
    if not bool(is_seen.any()):
        return seen.sum(-1, keepdim=True) * (zero_shot + kinds).softmax(-1)
    every = zero_shot.softmax(-1)
    mass = odds * (every * ~is_seen).sum(-1, keepdim=True)
    share = mass / (mass + (every * is_seen).sum(-1, keepdim=True)).clamp(min=1e-12)
    return share_unseen(seen, zero_shot + kinds, is_seen, share)


def favours_unseen(scorer: UnseenScorer, evidence: ZeroShotEvidence, names: Naming, other_seen: Tensor) -> Tensor:
    """How much likelier evidence finds an unseen name than one that training had, log of the mean of each kind's
    probabilities (M,). other_seen (E, D): texts of the names that only training had, or a region of one of these would
    pass for one of the unseen names that are asked for; of attention to them nothing is known.
    """
    attention = evidence.attention.expand(-1, -1, len(names.is_seen))
    padded = torch.cat([attention, attention.new_zeros(*attention.shape[:2], len(other_seen))], dim=2)
    every = scorer(ZeroShotEvidence(evidence.views, padded), torch.cat([names.texts, other_seen]))
    is_seen = torch.cat([names.is_seen, names.is_seen.new_ones(len(other_seen))])
    kinds = (every[:, ~is_seen], every[:, is_seen])
    unseen, seen = (kind.logsumexp(-1) - math.log(kind.shape[1]) for kind in kinds)
    return unseen - seen


def share_unseen(seen: Tensor, zero_shot: Tensor, is_seen: Tensor, share: Tensor) -> Tensor:
    """Probabilities (..., C) with the total of ``seen`` (..., C), of which the names that training did not have get
    ``share`` (..., 1), among themselves by ``zero_shot`` (..., C) logits; the others have the rest as in ``seen``.
    """
    others = zero_shot.masked_fill(is_seen, float("-inf")).softmax(-1)
    shares = seen * is_seen
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-12)
    return seen.sum(-1, keepdim=True) * ((1 - share) * shares + share * others)


def trained_names(wanted: Sequence[Sequence[str]], known: Sequence[Sequence[str]]) -> Tensor:
    """Which of the wanted names (C,), each with its synonyms, training had under any of its own."""
    names = {name.casefold() for one in known for name in one}
    return torch.tensor([any(name.casefold() in names for name in one) for one in wanted], dtype=torch.bool)
