"""The relation head: segments as nodes to ordered pairs with scores for any predicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        self.query_norm = nn.LayerNorm(width) if config.inputs == "image" else None
        encoder = NodeEncoder if config.inputs == "image" else BoxNodeEncoder
        self.nodes: nn.Module = encoder(width, config.clip_dim, config.fourier_bands)
        self.neighbours = SoftNeighbours() if config.neighbours == "soft" else None
        self.graph = RelationGraphTransformer(
            width,
            config.layers,
            4,
            config.context,
            config.attention == "literal",
            config.geometry_dim if config.edges else 0,
            config.dropout,
        )
        self.similarity = PairCosine() if config.selector == "cosine" else PairSimilarity(width)
        self.pair_query = nn.Linear(2 * width, width)
        self.pair_geometry = _pair_encoder(config) if config.geometry else None
        self.pair_decoder = nn.ModuleList(PairDecoderLayer(width, 4, config.dropout) for _ in range(2))
        self.related = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.classifier = TextClassifier(width, config.clip_dim, with_nothing=False)

    def refine(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Node vectors after the graph transformer, padded (B, N, D), and which are real (B, N) bool; B >= 1 images."""
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
            edges = geometry_of(
                boxes[:, :, None], boxes[:, None], area[:, :, None], area[:, None], self.config.geometry_dim
            )
        return self.graph(vectors, graph, present, edges), present

    def _encode(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Vectors (M, D) of all images' nodes, and those by which two are alike: queries, or labels without an
        image.
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
        positions: Tensor | None = None,
    ) -> list[RelationScores]:
        """Scores of ordered pairs, image by image; without ``pairs`` (R_i, 2) the most similar ones are chosen.

        memory (B, T, D) and the positional encoding ``positions`` (1, T, D) of its cells, predicates (P, D_clip).
        Without memory, which an image would give, pairs look at all segments.
        """
        refined, present = self.refine(images)
        absent = None
        if not self.config.look:
            memory, positions = refined.new_zeros((len(images), 1, self.config.width)), None
        elif memory is None:
            # Where there is no segment there is no pair either.
            memory = refined
            if len(present) > 1:  # one image has no padding, and asking torch to mask it costs a start 0.3 s
                absent = ~present & present.any(1, keepdim=True)
        keys = memory if positions is None or not self.config.positional_encoding else memory + positions
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
        scores = zip(similarity, chosen, related.split(counts), named.split(counts), strict=True)
        return [RelationScores(*own) for own in scores]

    def _situated(self, query: Tensor, images: Sequence[Nodes], pairs: Sequence[Tensor]) -> Tensor:
        """Pair queries (R, D) of all images that know how the two lie to each other."""
        if self.pair_geometry is None:
            return query
        rows = joint_indices(pairs, [len(nodes) for nodes in images])
        boxes, area = (torch.cat([getattr(nodes, name) for nodes in images])[rows] for name in ("boxes", "area"))
        geometry = geometry_of(boxes[:, 0], boxes[:, 1], area[:, 0], area[:, 1], self.config.geometry_dim)
        out: Tensor = query + self.pair_geometry(geometry)
        return out


def _pair_encoder(config: RelationHeadConfig) -> nn.Module:
    width = config.width
    if config.fourier_bands:
        return GeometryEncoder(config.geometry_dim, width, config.fourier_bands)
    return nn.Sequential(nn.Linear(config.geometry_dim, width), nn.GELU(), nn.Linear(width, width))
