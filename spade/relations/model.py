"""The trained heads: masks, labels and relations on top of frozen features, in one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from spade.relations.neighbours import neighbour_graph
from spade.relations.nodes import NodeEncoder, node_geometry, pool
from spade.relations.pairs import PAIR_GEOMETRY, PairSimilarity, pair_geometry, select_pairs
from spade.relations.transformer import RelationGraphTransformer
from spade.segmentation.mask_generator import MaskGenerator, Proposals, decoder_config


@dataclass(frozen=True)
class HeadsConfig:
    """Everything that is needed to build the heads again."""

    strides: tuple[int, ...]  # of the features, fine to coarse, in pixels
    channels: tuple[int, ...]
    clip_dim: int
    classes: int  # of the training vocabulary; only the loss needs it
    width: int = 64
    queries: int = 24
    decoder_layers: int = 3
    graph_layers: int = 3
    pairs: int = 100  # that go to the relation decoder at test time

    def to_json(self) -> dict:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> HeadsConfig:
        """The inverse of ``to_json``."""
        return cls(**data | {"strides": tuple(data["strides"]), "channels": tuple(data["channels"])})


class TextClassifier(nn.Module):
    """Scores by cosine to text embeddings, with a learned scale; optionally a learned "nothing" at the end.

    forward: vectors (..., D), text (C, D_clip) unit rows -> logits (..., C) or (..., C + 1).
    """

    def __init__(self, width: int, clip_dim: int, with_nothing: bool) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, clip_dim))
        self.scale = nn.Parameter(torch.tensor(2.3))  # exp(2.3) is about 10
        self.nothing = nn.Parameter(torch.randn(clip_dim) * 0.02) if with_nothing else None
        self.centre = nn.Parameter(torch.zeros(clip_dim))

    def forward(self, vectors: Tensor, text: Tensor) -> Tensor:
        """Logits. A learned centre is taken off the text rows: embeddings of short phrases share most of their direction."""
        rows = normalize(text - self.centre, dim=-1)
        if self.nothing is not None:
            rows = torch.cat([rows, normalize(self.nothing, dim=-1)[None]])
        return self.scale.exp().clamp(max=100) * normalize(self.project(vectors), dim=-1) @ rows.T


class _PairDecoderLayer(nn.Module):
    """Pair queries attend to the picture's features, each for itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Queries (1, R, D), memory (1, T, D) -> (1, R, D)."""
        queries = queries + self.attention(self.norm(queries), memory, memory, need_weights=False)[0]
        out: Tensor = queries + self.mlp(queries)
        return out


@dataclass(frozen=True)
class Nodes:
    """The segments of ONE image: query (N, D), masks (N, h, w) in [0, 1] on the finest grid, label (N, D_clip)."""

    query: Tensor
    masks: Tensor
    label: Tensor


@dataclass(frozen=True)
class RelationScores:
    """For ONE image: similarity (N, N); pairs (R, 2); pair_logits (R,); predicate_logits (R, P)."""

    similarity: Tensor
    pairs: Tensor
    pair_logits: Tensor
    predicate_logits: Tensor


class Heads(nn.Module):
    """Stage 2 of SPADE: mask generator, relation graph transformer, open-vocabulary classifiers."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.decoder_config = decoder_config(config.strides, config.queries, width, config.decoder_layers, config.classes)
        self.mask_generator = MaskGenerator(self.decoder_config, config.channels)
        self.object_classifier = TextClassifier(width, config.clip_dim, with_nothing=True)
        self.query_norm = nn.LayerNorm(width)
        self.nodes = NodeEncoder(width, config.clip_dim)
        self.graph = RelationGraphTransformer(width, config.graph_layers)
        self.similarity = PairSimilarity(width)
        self.pair_query = nn.Linear(2 * width, width)
        self.pair_geometry = nn.Sequential(nn.Linear(PAIR_GEOMETRY, width), nn.GELU(), nn.Linear(width, width))
        self.pair_decoder = nn.ModuleList(_PairDecoderLayer(width, 4) for _ in range(2))
        self.related = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.predicate_classifier = TextClassifier(width, config.clip_dim, with_nothing=False)

    def propose(self, features: Sequence[Tensor], objects: Tensor) -> tuple[Proposals, list[Tensor]]:
        """Proposals and, for each decoder layer, class logits (B, Q, C + 1) against the text rows ``objects`` (C, D_clip)."""
        proposals = self.mask_generator(features)
        return proposals, [self.object_classifier(queries, objects) for queries in proposals.queries]

    def refine(self, images: Sequence[Nodes], pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Node vectors after the graph transformer, padded: (B, N, D), and which are real: (B, N) bool.

        pixels (B, D, h, w): the mask features that are pooled under the masks.
        """
        longest = max(1, max(len(nodes.masks) for nodes in images))
        vectors = pixels.new_zeros((len(images), longest, self.config.width))
        graph = torch.zeros((len(images), longest, longest), dtype=torch.bool, device=pixels.device)
        present = torch.zeros((len(images), longest), dtype=torch.bool, device=pixels.device)
        for i, nodes in enumerate(images):
            count = len(nodes.masks)
            if not count:
                continue
            query = self.query_norm(nodes.query)
            vectors[i, :count] = self.nodes(query, pool(pixels[i], nodes.masks), nodes.label, node_geometry(nodes.masks))
            graph[i, :count, :count] = neighbour_graph(nodes.masks, query.detach())
            present[i, :count] = True
        return self.graph(vectors, graph, present), present

    def relate(self, refined: Tensor, masks: Tensor, memory: Tensor, predicates: Tensor, pairs: Tensor | None = None) -> RelationScores:
        """Scores of ordered pairs of ONE image; without ``pairs`` the most similar ones are chosen.

        refined (N, D), masks (N, h, w), memory (T, D), predicates (P, D_clip).
        """
        similarity = self.similarity(refined)
        chosen = select_pairs(similarity.detach(), self.config.pairs) if pairs is None else pairs
        query = self.pair_query(torch.cat([refined[chosen[:, 0]], refined[chosen[:, 1]]], dim=1))
        query = (query + self.pair_geometry(pair_geometry(masks, chosen)))[None]
        for layer in self.pair_decoder:
            query = layer(query, memory[None])
        return RelationScores(similarity, chosen, self.related(query[0])[:, 0], self.predicate_classifier(query[0], predicates))
