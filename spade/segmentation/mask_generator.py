"""Object queries and their masks, from transformers' Mask2Former parts on features of any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, softplus
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerLoss,
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerSinePositionEmbedding,
    Mask2FormerTransformerModule,
)

LOSS_WEIGHTS = {"loss_cross_entropy": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}


@dataclass(frozen=True)
class Proposals:
    """What the decoder's layers say; the last entry is the final one.

    ``masks`` each (B, Q, h, w) logits on the finest feature grid; ``queries`` each (B, Q, D); ``pixels`` (B, D, h, w)
    the mask features; ``memory`` (B, T, D) the pixel decoder's coarse levels, flattened, and ``places`` (1, T, D) where its cells lie.
    """

    masks: Sequence[Tensor]
    queries: Sequence[Tensor]
    pixels: Tensor
    memory: Tensor
    places: Tensor

    def last(self) -> Proposals:
        """The final layer's alone."""
        return Proposals(self.masks[-1:], self.queries[-1:], self.pixels, self.memory, self.places)

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(t.numel() * t.element_size() for t in (*self.masks, *self.queries, self.pixels, self.memory))


def decoder_config(strides: Sequence[int], queries: int, width: int, layers: int, classes: int) -> Mask2FormerConfig:
    """A Mask2Former configuration for features of these strides (fine to coarse), without a backbone."""
    return Mask2FormerConfig(
        feature_size=width,
        mask_feature_size=width,
        hidden_dim=width,
        encoder_feedforward_dim=4 * width,
        dim_feedforward=4 * width,
        encoder_layers=max(1, layers // 2),
        decoder_layers=layers + 1,  # transformers builds one fewer
        num_attention_heads=max(1, width // 32),
        dropout=0.0,  # it would double as layer drop
        num_queries=queries,
        feature_strides=list(strides),
        common_stride=min(strides),
        num_labels=classes,
        train_num_points=1024,
        no_object_weight=0.1,
    )


class MaskGenerator(Mask2FormerPreTrainedModel):
    """Pixel decoder and masked-attention decoder (Cheng et al., 2022); class scores are left to text embeddings.

    forward: features fine to coarse, each (B, C_i, H_i, W_i) -> Proposals.
    """

    main_input_name = "features"

    def __init__(self, config: Mask2FormerConfig, channels: Sequence[int]) -> None:
        super().__init__(config)
        self.pixel_decoder = Mask2FormerPixelDecoder(config, list(channels))
        self.decoder = Mask2FormerTransformerModule(config.feature_size, config)
        self.post_init()  # without it the level embeddings are uninitialised memory

    def forward(self, features: Sequence[Tensor]) -> Proposals:
        """Propose masks for a batch."""
        levels = self.pixel_decoder(list(features))
        out = self.decoder(multi_scale_features=levels.multi_scale_features, mask_features=levels.mask_features)
        queries = [hidden.transpose(0, 1) for hidden in out.intermediate_hidden_states]
        memory = torch.cat([level.flatten(2).transpose(1, 2) for level in levels.multi_scale_features], dim=1)
        shapes = tuple((level.shape[-2], level.shape[-1]) for level in levels.multi_scale_features)
        places = cell_places(shapes, memory.shape[-1]).to(memory)
        return Proposals(out.masks_queries_logits, queries, levels.mask_features, memory, places)


@cache
def cell_places(shapes: tuple[tuple[int, int], ...], width: int) -> Tensor:
    """Mask2Former's sine embeddings of where the cells of levels (h, w) lie: (1, T, width)."""
    sine = Mask2FormerSinePositionEmbedding(width // 2, normalize=True)
    levels = [sine(torch.Size((1, width, *shape)), torch.device("cpu"), torch.float32) for shape in shapes]
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)


class MaskLoss(Mask2FormerLoss):
    """Mask2Former's losses, weighted and summed over the decoder's layers.

    Nothing is known of void pixels, so a query that stands for no annotated segment and lies mostly on void is not taught that it is
    nothing. Void regions may be given as segments without a name (as in open-set panoptic segmentation, Hwang et al., 2021): queries
    that are left over learn their masks, and that they are something. Else no segment of a name that training leaves out is proposed.
    """

    def weighted(
        self,
        masks: Sequence[Tensor],
        classes: Sequence[Tensor],
        mask_labels: list[Tensor],
        class_labels: list[Tensor],
        unnamed: list[Tensor] | None = None,
    ) -> Tensor:
        """One number. masks (B, Q, h, w) and classes (B, Q, C + 1) per layer; mask_labels (N_i, H, W) float; class_labels (N_i,).

        unnamed (V_i, H, W) float. The number of masks is counted per process; transformers divides it by the number of processes twice.
        """
        nameless = [labels[:0] for labels in mask_labels] if unnamed is None else unnamed
        every = [torch.cat(both) for both in zip(mask_labels, nameless, strict=True)]
        number = torch.as_tensor(max(1, sum(len(labels) for labels in every)), dtype=torch.float, device=masks[0].device)
        total = masks[0].sum() * 0
        for layer, names in zip(masks, classes, strict=True):
            indices = self.matcher(layer, names, mask_labels, class_labels)
            spare = [_match_spare(*one) for one in zip(layer, (queries for queries, _ in indices), nameless, strict=True)]
            joined = [
                (torch.cat([queries, more]), torch.cat([targets, others + len(labels)]))
                for (queries, targets), (more, others), labels in zip(indices, spare, mask_labels, strict=True)
            ]
            terms = self.loss_masks(layer, every, joined, number)
            something = [queries for queries, _ in spare]
            terms["loss_cross_entropy"] = self._class_loss(names, class_labels, indices, something, _on_void(layer, mask_labels))
            total = total + torch.stack([value * LOSS_WEIGHTS[name] for name, value in terms.items()]).sum()
        return total / len(masks)

    def _class_loss(self, logits: Tensor, class_labels: list[Tensor], indices: Any, something: Sequence[Tensor], on_void: Tensor) -> Tensor:
        """Cross entropy (B, Q, C + 1); of queries that are ``something`` between any name and none; others on void have no term."""
        wanted = torch.full(logits.shape[:2], self.num_labels, dtype=torch.int64, device=logits.device)
        wanted[on_void] = -100
        unnamed = torch.zeros_like(wanted, dtype=torch.bool)
        for row, flags, labels, (queries, targets), spare in zip(wanted, unnamed, class_labels, indices, something, strict=True):
            row[spare], flags[spare] = -100, True
            row[queries] = labels[targets]
        count = self.empty_weight[wanted.clamp(min=0)][wanted >= 0].sum() + unnamed.sum()
        if not count:
            return logits.sum() * 0
        named = cross_entropy(logits.transpose(1, 2), wanted, weight=self.empty_weight, reduction="sum")
        some = softplus(logits[..., -1] - logits[..., :-1].logsumexp(-1))[unnamed].sum()
        return (named + some) / count


@torch.no_grad()
def _match_spare(masks: Tensor, taken: Tensor, unnamed: Tensor) -> tuple[Tensor, Tensor]:
    """Queries that stand for no annotated segment, and the unnamed one that each is to cover: two lists of indices of ONE image.

    masks (Q, h, w) logits; taken: the queries in use; unnamed (V, H, W).
    """
    if not len(unnamed):
        return taken[:0], taken[:0]
    free = torch.ones(len(masks), dtype=torch.bool)
    free[taken] = False
    left = torch.nonzero(free).flatten()
    cost = 1 - mask_dice(masks[left.to(masks.device)], shrink_masks(unnamed, (masks.shape[-2], masks.shape[-1])))
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return left[torch.from_numpy(rows)].to(taken), torch.from_numpy(columns).to(taken)


def mask_dice(masks: Tensor, targets: Tensor) -> Tensor:
    """Dice coefficients (Q, N) of masks (Q, h, w), logits, and targets (N, h, w) in [0, 1]."""
    probability, target = masks.float().sigmoid().flatten(1), targets.float().flatten(1)
    return (2 * probability @ target.T + 1) / (probability.sum(1)[:, None] + target.sum(1)[None] + 1)


@torch.no_grad()
def _on_void(masks: Tensor, mask_labels: list[Tensor]) -> Tensor:
    """Which queries (B, Q) have more than half of their mask (B, Q, h, w), logits, where no target (N_i, H, W) lies."""
    size = (masks.shape[-2], masks.shape[-1])
    void = torch.stack([1 - shrink_masks(labels, size).sum(0).clamp(max=1) for labels in mask_labels])
    probability = masks.float().sigmoid()
    return (probability * void[:, None]).sum(dim=(-2, -1)) > 0.5 * probability.sum(dim=(-2, -1))


def mask_loss(config: Mask2FormerConfig) -> MaskLoss:
    """The loss for a configuration."""
    return MaskLoss(config, LOSS_WEIGHTS)


@torch.no_grad()
def match_queries(masks: Tensor, classes: Tensor, mask_labels: Tensor, class_labels: Tensor) -> Tensor:
    """For each of N target segments of ONE image, the query that stands for it: (N,) indices, each used once.

    masks (Q, h, w) logits, classes (Q, C + 1) logits, mask_labels (N, h, w) in [0, 1]. Cost: 1 - dice - P(class).
    With more segments than queries the surplus gets -1.
    """
    cost = 1 - mask_dice(masks, mask_labels) - classes.float().softmax(-1)[:, class_labels]
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    found = np.full(len(class_labels), -1, np.int64)
    found[columns] = rows
    return torch.from_numpy(found).to(masks.device)


def shrink_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W) float masks to the share of each cell that they cover, (N, h, w)."""
    if masks.shape[0] == 0:
        return masks.new_zeros((0, *size))
    return interpolate(masks[None], size=size, mode="area")[0]


def covered_cells(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The cells (h, w) bool of which a mask (H, W) covers at least half; of a small one, those that it covers most."""
    cells = shrink_masks(mask[None].float(), size)[0]
    return cells >= min(0.5, float(cells.max()))
