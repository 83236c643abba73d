"""The second half of the heads: segments as nodes to ordered pairs with scores for any predicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from spade.open_vocabulary.text_classifier import TextClassifier
from spade.relations.config import RelationHeadConfig
from spade.relations.graph_transformer import RelationGraphTransformer
from spade.relations.mask_geometry import node_geometry
from spade.relations.neighbours import SoftNeighbours, Space, neighbour_graph
from spade.relations.nodes import BoxNodeEncoder, GeometryEncoder, NodeEncoder, Nodes
from spade.relations.padding import joint_indices, padded, padded_gaps, padded_positions
from spade.relations.pair_decoder import PairDecoderLayer
from spade.relations.pair_geometry import geometry_of
from spade.relations.pair_selection import PairCosine, PairSimilarity, select_pairs


@dataclass(frozen=True)
class RelationScores:
    """For ONE image: similarity (N, N); pairs (R, 2); pair_logits (R,); predicate_logits (R, P)."""

    similarity: Tensor
    pairs: Tensor
    pair_logits: Tensor
    predicate_logits: Tensor


class RelationHead(nn.Module):
    """Node encoder, relation graph transformer, pair selection, relation decoder, predicate classifier."""

    def __init__(self, config: RelationHeadConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.query_norm = nn.LayerNorm(width) if config.nodes == "pixels" else None
        self.nodes: nn.Module = (NodeEncoder if config.nodes == "pixels" else BoxNodeEncoder)(
            width, config.clip_dim, config.octaves
        )
        self.neighbours = SoftNeighbours() if config.neighbours == "soft" else None
        self.graph = RelationGraphTransformer(
            width,
            config.layers,
            4,
            config.context,
            config.attention == "literal",
            config.facts if config.edges else 0,
            config.dropout,
        )
        self.similarity = PairCosine() if config.selector == "cosine" else PairSimilarity(width)
        self.pair_query = nn.Linear(2 * width, width)
        self.pair_geometry = None
        if config.geometry:
            self.pair_geometry = _pair_places(config)
        self.gate = _pair_places(config) if config.gate else None
        self.union = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) if config.unions else None
        self.pair_decoder = nn.ModuleList(PairDecoderLayer(width, 4, config.dropout) for _ in range(2))
        self.related = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.classifier = TextClassifier(width, config.clip_dim, with_nothing=False)
        self.trust = nn.Parameter(torch.zeros(3)) if config.maps else None  # under subject, object, both

    def refine(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Node vectors after the graph transformer, padded: (B, N, D), and which are real: (B, N) bool. One image or
        more.
        """
        counts = [len(nodes) for nodes in images]
        vectors, likeness = self._encode(images)
        vectors, likeness = padded(vectors, counts), padded(likeness.detach(), counts)
        boxes, area = (
            padded(torch.cat([getattr(nodes, name) for nodes in images]), counts) for name in ("boxes", "area")
        )
        present = torch.arange(boxes.shape[1], device=boxes.device) < torch.tensor(counts, device=boxes.device)[:, None]
        space = (
            Space.of_boxes(boxes)
            if self.config.nearness == "boxes"
            else Space.of_masks(padded_gaps(images, boxes.shape[1]), area)
        )
        graph = (
            neighbour_graph(space, likeness).to(vectors.dtype)
            if self.neighbours is None
            else self.neighbours(space, likeness)
        )
        edges = None
        if self.config.edges:
            edges = geometry_of(boxes[:, :, None], boxes[:, None], area[:, :, None], area[:, None], self.config.facts)
        return self.graph(vectors, graph, present, edges), present

    def _encode(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Of all images' nodes: vectors (M, D), and those by which two are alike: queries, or labels where there are no
        pixels.
        """
        boxes, label = torch.cat([nodes.boxes for nodes in images]), torch.cat([nodes.label for nodes in images])
        geometry = node_geometry(boxes, torch.cat([nodes.area for nodes in images]))
        if self.query_norm is None:
            aspect = torch.cat(
                [torch.ones_like(nodes.area) if nodes.aspect is None else nodes.aspect for nodes in images]
            )
            return self.nodes(label, boxes, geometry, aspect), label
        query = self.query_norm(torch.cat([nodes.query for nodes in images if nodes.query is not None]))
        pooled = torch.cat([nodes.pooled for nodes in images if nodes.pooled is not None])
        return self.nodes(query, pooled, label, geometry), query

    def relate(
        self,
        images: Sequence[Nodes],
        memory: Tensor | None,
        predicates: Tensor,
        pairs: Sequence[Tensor] | None = None,
        places: Tensor | None = None,
    ) -> list[RelationScores]:
        """Scores of ordered pairs, image by image; without ``pairs`` (R_i, 2) the most similar ones are chosen.

        memory (B, T, D) and the places (1, T, D) of its cells, predicates (P, D_clip). Without memory, which pixels
        would give, pairs look at all segments.
        """
        refined, present = self.refine(images)
        absent = None
        if not self.config.look:
            memory, places = refined.new_zeros((len(images), 1, self.config.width)), None
        elif memory is None:
            memory, absent = (
                refined,
                ~present & present.any(1, keepdim=True),
            )  # where there is no segment there is no pair either
        keys = memory if places is None or not self.config.places else memory + places
        similarity = [
            own[: len(nodes), : len(nodes)] for own, nodes in zip(self.similarity(refined), images, strict=True)
        ]
        chosen = [select_pairs(own.detach(), self.config.pairs) for own in similarity] if pairs is None else list(pairs)
        counts = [len(own) for own in chosen]
        queries = refined.flatten(0, 1)[joint_indices(chosen, [refined.shape[1]] * len(images))].flatten(1)
        decoded = padded(self._situated(self.pair_query(queries), images, chosen), counts)
        if decoded.shape[1]:
            for layer in self.pair_decoder:
                decoded = layer(decoded, keys, memory, absent)
        decoded = decoded.flatten(0, 1)[padded_positions(counts, decoded.shape[1], decoded.device)]
        related, named = self.related(decoded)[..., 0], self.classifier(decoded, predicates)
        if self.config.contrast:
            named = named - self.config.contrast * nearest_mean(named, predicates)
        scores = zip(images, similarity, chosen, related.split(counts), named.split(counts), strict=True)
        return [
            RelationScores(alike, own, logit, self._told_by_maps(names, nodes, own))
            for nodes, alike, own, logit, names in scores
        ]

    def _told_by_maps(self, logits: Tensor, nodes: Nodes, pairs: Tensor) -> Tensor:
        """Predicates' logits (R, P) with what attention adds: of the two masks and, since they share no pixel, of both
        together.

        Predicates behind those to which there is attention stay as they are.
        """
        if self.trust is None or nodes.looked is None:
            return logits
        first, second = nodes.looked[pairs[:, 0]], nodes.looked[pairs[:, 1]]
        share = nodes.area[pairs] / nodes.area[pairs].sum(1, keepdim=True).clamp(min=1e-8)
        both = (share[:, :1] * first + share[:, 1:] * second).clamp(min=1e-8)
        told = self.trust[0] * first.log() + self.trust[1] * second.log() + self.trust[2] * both.log()
        return logits + pad(told, (0, logits.shape[1] - told.shape[1]))

    def _situated(self, query: Tensor, images: Sequence[Nodes], pairs: Sequence[Tensor]) -> Tensor:
        """Pair queries (R, D) of all images that know how the two lie to each other, and what is around both."""
        rows = joint_indices(pairs, [len(nodes) for nodes in images])
        boxes, area = (torch.cat([getattr(nodes, name) for nodes in images])[rows] for name in ("boxes", "area"))
        geometry = geometry_of(boxes[:, 0], boxes[:, 1], area[:, 0], area[:, 1], self.config.facts)
        if self.gate is not None:
            query = query * 2 * self.gate(geometry).sigmoid()
        if self.pair_geometry is not None:
            query = query + self.pair_geometry(geometry)
        if self.union is not None:
            unions = [
                nodes.unions[own[:, 0], own[:, 1]]
                for nodes, own in zip(images, pairs, strict=True)
                if nodes.unions is not None
            ]
            assert len(unions) == len(images), "nodes for these heads are made with unions"
            query = query + self.union(torch.cat(unions))
        return query


def nearest_mean(logits: Tensor, texts: Tensor, count: int = 3) -> Tensor:
    """For each name the mean logit of the ``count`` others whose texts are likest: logits (..., P), texts (P, D) unit
    rows -> (..., P).

    Each name has others of its own, so what is taken off does not cancel in a softmax. A single name has none: 0.
    """
    count = min(count, len(texts) - 1)
    if count < 1:
        return torch.zeros_like(logits)
    alike = (texts @ texts.T).fill_diagonal_(float("-inf"))
    return logits[..., alike.topk(count, dim=1).indices].mean(-1)


def _pair_places(config: RelationHeadConfig) -> nn.Module:
    facts, width = config.facts, config.width
    if config.octaves:
        return GeometryEncoder(facts, width, config.octaves)
    return nn.Sequential(nn.Linear(facts, width), nn.GELU(), nn.Linear(width, width))
