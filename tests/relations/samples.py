"""Small heads, and segments, words and images for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from spade.models.config import HeadsConfig
from spade.relations.config import BASIC, DETAILED, RelationHeadConfig
from spade.relations.mask_geometry import mask_boxes
from spade.relations.nodes import Nodes
from spade.segmentation.config import MaskProposerConfig
from spade.training.config import RelationLossConfig
from spade.training.targets import Truth

CONFIG = HeadsConfig(
    MaskProposerConfig(strides=(4, 8, 16, 32), channels=(8, 16, 16, 16), clip_dim=12, classes=3, width=32, queries=5),
    RelationHeadConfig(
        clip_dim=12,
        width=32,
        layers=2,
        neighbours="hard",
        fourier_bands=0,
        positional_encoding=False,
        dropout=0.0,
        geometry_dim=BASIC,
    ),
)


def features(batch=2, side=64):
    torch.manual_seed(1)
    return [
        torch.randn(batch, c, side // s, side // s)
        for s, c in zip(CONFIG.proposer.strides, CONFIG.proposer.channels, strict=True)
    ]


def words(count, seed):
    return torch.nn.functional.normalize(torch.randn(count, 12, generator=torch.Generator().manual_seed(seed)), dim=1)


def some_attention(batch):
    return torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(8)) / 10


def truth(masks, classes, triples, unnamed=None):
    rows = torch.tensor(triples, dtype=torch.int64).reshape(-1, 3)
    return Truth(masks, torch.tensor(classes, dtype=torch.int64), rows, masks[:0] if unnamed is None else unnamed)


def some_nodes(count, seed, config=CONFIG.relations):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(count, 16, 16, generator=generator) > 0.5).float()
    query, pixels = torch.randn(count, 32, generator=generator), torch.randn(32, 16, 16, generator=generator)
    return Nodes.of(query, pixels, words(count, seed), masks, mask_boxes(masks), config)


def some_memory(batch, seed=9):
    return torch.randn(batch, 20, 32, generator=torch.Generator().manual_seed(seed))


def by_name(scores, names):
    return {(names[s], names[o]): float(v) for (s, o), v in zip(scores.pairs.tolist(), scores.pair_logits, strict=True)}


def some_boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 0.6
    boxes = torch.cat([low, low + 0.05 + 0.3 * torch.rand(count, 2, generator=generator)], dim=1)
    return Nodes(None, None, words(count, seed), boxes, (boxes[:, 2:] - boxes[:, :2]).prod(1) * 0.7)


BOXES = replace(CONFIG.relations, inputs="boxes", edges=True, geometry_dim=DETAILED, dropout=0.3)
WEIGHTS = {"mask": 1.0, **RelationLossConfig().weights}
