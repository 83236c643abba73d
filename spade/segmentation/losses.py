"""Mask2Former's losses for annotation with void regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from spade.segmentation.boxes import box_losses
from spade.segmentation.matching import match_spare, shrink_masks

LOSS_WEIGHTS = {"loss_cross_entropy": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}


class MaskLoss(Mask2FormerLoss):
    """Mask2Former's losses, weighted and summed over the decoder's layers.

    Nothing is known of void pixels, so a query that stands for no annotated segment and lies mostly on void is not
    taught that it is nothing. Void regions may be given as segments without a name (as in open-set panoptic
    segmentation, Hwang et al., 2021): queries that are left over learn their masks, and that they are something. Else
    no segment of a name that training leaves out is proposed.
    """

    def weighted(
        self,
        masks: Sequence[Tensor],
        classes: Sequence[Tensor],
        mask_labels: list[Tensor],
        class_labels: list[Tensor],
        unnamed: list[Tensor] | None = None,
        boxes: Sequence[Tensor] = (),
        box_labels: Sequence[Tensor | None] = (),
        voids: Sequence[Tensor | None] = (),
    ) -> Tensor:
        """One number. masks (B, Q, h, w) and classes (B, Q, C + 1) per layer; mask_labels (N_i, H, W) float;
        class_labels (N_i,). Where segments are boxes, ``boxes`` (B, Q, 4) per layer and box_labels (N_i, 4) add DETR's
        losses, masks are filled boxes, and only ``voids`` (H, W) are void: elsewhere a query learns that it is nothing.

        unnamed (V_i, H, W) float. The number of masks is counted per process; transformers divides it by the number of
        processes twice.
        """
        nameless = [labels[:0] for labels in mask_labels] if unnamed is None else unnamed
        every = [torch.cat(both) for both in zip(mask_labels, nameless, strict=True)]
        number = torch.as_tensor(
            max(1, sum(len(labels) for labels in every)), dtype=torch.float, device=masks[0].device
        )
        total = masks[0].sum() * 0
        for place, (layer, names) in enumerate(zip(masks, classes, strict=True)):
            indices = self.matcher(layer, names, mask_labels, class_labels)
            spare = [
                match_spare(*one) for one in zip(layer, (queries for queries, _ in indices), nameless, strict=True)
            ]
            joined = [
                (torch.cat([queries, more]), torch.cat([targets, others + len(labels)]))
                for (queries, targets), (more, others), labels in zip(indices, spare, mask_labels, strict=True)
            ]
            terms = self.loss_masks(layer, every, joined, number)
            something = [queries for queries, _ in spare]
            on_void = queries_on_void(layer, mask_labels, voids if boxes else ())
            terms["loss_cross_entropy"] = self._class_loss(names, class_labels, indices, something, on_void)
            total = total + torch.stack([value * LOSS_WEIGHTS[name] for name, value in terms.items()]).sum()
            if boxes:
                found = torch.cat([layer[queries] for layer, (queries, _) in zip(boxes[place], indices, strict=True)])
                wanted = torch.cat(
                    [b[targets] for b, (_, targets) in zip(box_labels, indices, strict=True) if b is not None]
                )
                total = total + box_losses(found, wanted, number)
        return total / len(masks)

    def _class_loss(
        self, logits: Tensor, class_labels: list[Tensor], indices: Any, something: Sequence[Tensor], on_void: Tensor
    ) -> Tensor:
        """Cross entropy (B, Q, C + 1); of queries that are ``something`` between any name and none; others on void have
        no term.
        """
        wanted = torch.full(logits.shape[:2], self.num_labels, dtype=torch.int64, device=logits.device)
        wanted[on_void] = -100
        unnamed = torch.zeros_like(wanted, dtype=torch.bool)
        for row, flags, labels, (queries, targets), spare in zip(
            wanted, unnamed, class_labels, indices, something, strict=True
        ):
            row[spare], flags[spare] = -100, True
            row[queries] = labels[targets]
        count = self.empty_weight[wanted.clamp(min=0)][wanted >= 0].sum() + unnamed.sum()
        if not count:
            return logits.sum() * 0
        named = cross_entropy(logits.transpose(1, 2), wanted, weight=self.empty_weight, reduction="sum")
        some = softplus(logits[..., -1] - logits[..., :-1].logsumexp(-1))[unnamed].sum()
        return (named + some) / count


@torch.no_grad()
def queries_on_void(masks: Tensor, mask_labels: list[Tensor], voids: Sequence[Tensor | None] = ()) -> Tensor:
    """Which queries (B, Q) have more than half of their mask (B, Q, h, w), logits, where no target (N_i, H, W) lies; or
    in ``voids`` (H, W), where these are told.
    """
    size = (masks.shape[-2], masks.shape[-1])
    known = [shrink_masks(void[None], size)[0] for void in voids if void is not None]
    void = torch.stack(known or [1 - shrink_masks(labels, size).sum(0).clamp(max=1) for labels in mask_labels])
    probability = masks.float().sigmoid()
    return (probability * void[:, None]).sum(dim=(-2, -1)) > 0.5 * probability.sum(dim=(-2, -1))


def mask_loss(config: Mask2FormerConfig) -> MaskLoss:
    """The loss for a configuration."""
    return MaskLoss(config, LOSS_WEIGHTS)
