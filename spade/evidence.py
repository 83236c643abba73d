"""What is known of regions and pairs without any training on annotation: OpenCLIP's views of them, and where the UNet looks."""

from __future__ import annotations

import torch
from torch import Tensor

from spade.novel_names import Evidence
from spade.open_vocabulary import OpenClip
from spade.segmentation.proposer import looked_for


def region_evidence(clip: OpenClip, cells: Tensor, masks: Tensor, attention: Tensor | None) -> Evidence:
    """Of masks (N, h, w) in [0, 1]; cells (D, h', w') OpenCLIP's of the picture, attention (C, h'', w'') to the names, if any."""
    return Evidence(clip.pooled(cells, masks), _looked(masks, attention)[:, None])


def pair_evidence(clip: OpenClip, cells: Tensor, masks: Tensor, pairs: Tensor, attention: Tensor | None) -> Evidence:
    """Of ordered pairs (R, 2) of masks (N, h, w): the view of both together; attention (P, h'', w'') under each of the two."""
    subject, target = pairs.unbind(1)
    looked = _looked(masks, attention)
    return Evidence(clip.pooled(cells, torch.maximum(masks[subject], masks[target])), torch.stack([looked[subject], looked[target]], dim=1))


def _looked(masks: Tensor, attention: Tensor | None) -> Tensor:
    """Log attention under each mask as a multiple of the picture's, (N, C); without attention one column of zeros, which says nothing."""
    if attention is None:
        return masks.new_zeros((len(masks), 1))
    return looked_for(masks[None].float(), attention[None].float())[0].log()
