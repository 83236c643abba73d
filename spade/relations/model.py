"""The second half of the heads: segments as nodes to ordered pairs with scores for any predicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from spade.novel_names import UntrainedScores
from spade.open_vocabulary import TextClassifier
from spade.relations.neighbours import SoftNeighbours, Space, mask_gaps, neighbour_graph
from spade.relations.nodes import GeometryEncoder, LayoutEncoder, NodeEncoder, node_geometry, pool, pool_unions
from spade.relations.pairs import BASIC, PairCosine, PairSimilarity, geometry_of, select_pairs
from spade.relations.transformer import PARTS, RelationGraphTransformer
from spade.segmentation.proposer import Proposer, ProposerConfig, looked_for

OCTAVES = 5  # wavelengths from two pictures down to an eighth of one
PAIRS = 100  # that are decoded of a picture


@dataclass(frozen=True)
class RelationConfig:
    """Everything that is needed to build the relation part again; the defaults are what measured best."""

    clip_dim: int  # of the vectors that stand for names
    nodes: str = "pixels"  # or layout: labels and boxes alone
    width: int = 64
    layers: int = 3  # of the relation graph transformer
    context: tuple[str, ...] = PARTS  # of its layers
    attention: str = "values"  # or literal
    neighbours: str = "hard"  # or soft
    nearness: str = "boxes"  # or masks, between which it is measured
    selector: str = "roles"  # or cosine, SPADE's symmetric one
    geometry: bool = True  # of ordered pairs
    facts: int = BASIC  # of that geometry; DETAILED is what new heads get
    octaves: int = 0  # at which geometry is given to networks, beside itself; new heads get OCTAVES
    edges: bool = False  # attention of the graph transformer weighs that geometry
    dropout: float = 0.0
    places: bool = False  # pairs know where in the picture they look, as Mask2Former's queries do; new heads do
    look: bool = True  # pairs attend to the picture or, without pixels, to all segments
    gate: bool = False  # by the same geometry, SPADE++'s role gate
    unions: bool = False  # pairs see the box around both, SPADE++'s union region
    maps: bool = False  # the UNet's attention to a predicate adds to its score
    contrast: float = 0.0  # what is taken off a predicate's score for its likest others', SPADE++'s decision contrast
    pairs: int = PAIRS  # that go to the relation decoder at test time

    @classmethod
    def from_json(cls, data: dict) -> RelationConfig:
        """The inverse of ``dataclasses.asdict``, by way of json."""
        return cls(**_plain(data))


@dataclass(frozen=True)
class Nodes:
    """The segments of ONE image: query (N, D), pixels pooled under them (N, D), label (N, D_clip), boxes (N, 4) and areas (N,).

    Boxes are xyxy; they and the areas are shares of the picture. Without pixels there is neither query nor pooled.
    Where the heads ask for it: ``unions`` (N, N, D), pixels pooled in the box around each two; ``looked`` (N, P), how much more each
    predicate is looked for under a mask than in the whole picture; ``gaps`` (N, N) between masks.
    """

    query: Tensor | None
    pooled: Tensor | None
    label: Tensor
    boxes: Tensor
    area: Tensor
    unions: Tensor | None = None
    looked: Tensor | None = None
    gaps: Tensor | None = None
    aspect: Tensor | None = None  # (N,) width of the picture over its height; None: square

    @classmethod
    def of(
        cls,
        query: Tensor,
        pixels: Tensor,
        label: Tensor,
        masks: Tensor,
        boxes: Tensor,
        config: RelationConfig,
        attention: Tensor | None = None,
    ) -> Nodes:
        """Of masks (N, h, w) in [0, 1], with pixels (D, h, w), the mask features, and attention (P, h', w') to the predicates.

        boxes (N, 4) come from finer masks than these: a cell of the features is wider than many a gap.
        """
        area = masks.float().mean(dim=(-2, -1))
        unions = pool_unions(pixels, boxes) if config.unions else None
        looked = looked_for(masks[None], attention[None])[0] if config.maps and attention is not None else None
        gaps = mask_gaps(masks) if config.nearness == "masks" else None
        return cls(query, pool(pixels, masks), label, boxes, area, unions, looked, gaps)

    def __len__(self) -> int:
        """How many segments."""
        return len(self.boxes)


@dataclass(frozen=True)
class RelationScores:
    """For ONE image: similarity (N, N); pairs (R, 2); pair_logits (R,); predicate_logits (R, P)."""

    similarity: Tensor
    pairs: Tensor
    pair_logits: Tensor
    predicate_logits: Tensor


class _PairDecoderLayer(nn.Module):
    """Pair queries attend to the picture's features, each for itself."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, absent: Tensor | None = None) -> Tensor:
        """Queries (B, R, D), keys and memory (B, T, D), absent (B, T) bool, tokens that are padding -> (B, R, D)."""
        seen = self.attention(self.norm(queries), keys, memory, key_padding_mask=absent, need_weights=False)[0]
        queries = queries + self.dropout(seen)
        out: Tensor = queries + self.dropout(self.mlp(queries))
        return out


class RelationHeads(nn.Module):
    """Node encoder, relation graph transformer, pair selection, relation decoder, predicate classifier."""

    def __init__(self, config: RelationConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.query_norm = nn.LayerNorm(width) if config.nodes == "pixels" else None
        self.nodes: nn.Module = (NodeEncoder if config.nodes == "pixels" else LayoutEncoder)(width, config.clip_dim, config.octaves)
        self.neighbours = SoftNeighbours() if config.neighbours == "soft" else None
        self.graph = RelationGraphTransformer(
            width, config.layers, 4, config.context, config.attention == "literal", config.facts if config.edges else 0, config.dropout
        )
        self.similarity = PairCosine() if config.selector == "cosine" else PairSimilarity(width)
        self.pair_query = nn.Linear(2 * width, width)
        self.pair_geometry = None
        if config.geometry:
            self.pair_geometry = _pair_places(config)
        self.gate = _pair_places(config) if config.gate else None
        self.union = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) if config.unions else None
        self.pair_decoder = nn.ModuleList(_PairDecoderLayer(width, 4, config.dropout) for _ in range(2))
        self.related = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.classifier = TextClassifier(width, config.clip_dim, with_nothing=False)
        self.trust = nn.Parameter(torch.zeros(3)) if config.maps else None  # under subject, object, both

    def refine(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Node vectors after the graph transformer, padded: (B, N, D), and which are real: (B, N) bool. One image or more."""
        counts = [len(nodes) for nodes in images]
        vectors, likeness = self._encode(images)
        vectors, likeness = _padded(vectors, counts), _padded(likeness.detach(), counts)
        boxes, area = (_padded(torch.cat([getattr(nodes, name) for nodes in images]), counts) for name in ("boxes", "area"))
        present = torch.arange(boxes.shape[1], device=boxes.device) < torch.tensor(counts, device=boxes.device)[:, None]
        space = Space.of_boxes(boxes) if self.config.nearness == "boxes" else Space.of_masks(_gaps_of(images, boxes.shape[1]), area)
        graph = neighbour_graph(space, likeness).to(vectors.dtype) if self.neighbours is None else self.neighbours(space, likeness)
        edges = None
        if self.config.edges:
            edges = geometry_of(boxes[:, :, None], boxes[:, None], area[:, :, None], area[:, None], self.config.facts)
        return self.graph(vectors, graph, present, edges), present

    def _encode(self, images: Sequence[Nodes]) -> tuple[Tensor, Tensor]:
        """Of all images' nodes: vectors (M, D), and those by which two are alike: queries, or labels where there are no pixels."""
        boxes, label = torch.cat([nodes.boxes for nodes in images]), torch.cat([nodes.label for nodes in images])
        geometry = node_geometry(boxes, torch.cat([nodes.area for nodes in images]))
        if self.query_norm is None:
            aspect = torch.cat([torch.ones_like(nodes.area) if nodes.aspect is None else nodes.aspect for nodes in images])
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

        memory (B, T, D) and the places (1, T, D) of its cells, predicates (P, D_clip). Without memory, which pixels would give, pairs
        look at all segments.
        """
        refined, present = self.refine(images)
        absent = None
        if not self.config.look:
            memory, places = refined.new_zeros((len(images), 1, self.config.width)), None
        elif memory is None:
            memory, absent = refined, ~present & present.any(1, keepdim=True)  # where there is no segment there is no pair either
        keys = memory if places is None or not self.config.places else memory + places
        similarity = [own[: len(nodes), : len(nodes)] for own, nodes in zip(self.similarity(refined), images, strict=True)]
        chosen = [select_pairs(own.detach(), self.config.pairs) for own in similarity] if pairs is None else list(pairs)
        counts = [len(own) for own in chosen]
        queries = refined.flatten(0, 1)[_together(chosen, [refined.shape[1]] * len(images))].flatten(1)
        decoded = _padded(self._situated(self.pair_query(queries), images, chosen), counts)
        if decoded.shape[1]:
            for layer in self.pair_decoder:
                decoded = layer(decoded, keys, memory, absent)
        decoded = decoded.flatten(0, 1)[_places_of(counts, decoded.shape[1], decoded.device)]
        related, named = self.related(decoded)[..., 0], self.classifier(decoded, predicates)
        if self.config.contrast:
            named = named - self.config.contrast * likest_mean(named, predicates)
        scores = zip(images, similarity, chosen, related.split(counts), named.split(counts), strict=True)
        return [RelationScores(alike, own, logit, self._told_by_maps(names, nodes, own)) for nodes, alike, own, logit, names in scores]

    def _told_by_maps(self, logits: Tensor, nodes: Nodes, pairs: Tensor) -> Tensor:
        """Predicates' logits (R, P) with what attention adds: of the two masks and, since they share no pixel, of both together.

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
        rows = _together(pairs, [len(nodes) for nodes in images])
        boxes, area = (torch.cat([getattr(nodes, name) for nodes in images])[rows] for name in ("boxes", "area"))
        geometry = geometry_of(boxes[:, 0], boxes[:, 1], area[:, 0], area[:, 1], self.config.facts)
        if self.gate is not None:
            query = query * 2 * self.gate(geometry).sigmoid()
        if self.pair_geometry is not None:
            query = query + self.pair_geometry(geometry)
        if self.union is not None:
            unions = [nodes.unions[own[:, 0], own[:, 1]] for nodes, own in zip(images, pairs, strict=True) if nodes.unions is not None]
            assert len(unions) == len(images), "nodes for these heads are made with unions"
            query = query + self.union(torch.cat(unions))
        return query


def _gaps_of(images: Sequence[Nodes], most: int) -> Tensor:
    """Gaps between masks of several images, padded: (B, N, N)."""
    own = [nodes.gaps for nodes in images if nodes.gaps is not None]
    assert len(own) == len(images), "nodes for these heads are made with gaps"
    return torch.stack([pad(gaps, (0, most - len(gaps), 0, most - len(gaps)), value=1.0) for gaps in own])


def _together(pairs: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Pairs (R_i, 2) of several images in one numbering of all their segments, ``counts`` of each: (R, 2)."""
    every = torch.cat(list(pairs))
    starts = torch.tensor(list(accumulate(counts, initial=0))[:-1], device=every.device)
    number = torch.tensor([len(own) for own in pairs], device=every.device)
    return every + starts.repeat_interleave(number, output_size=len(every))[:, None]


def _padded(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows (M, ...) of several images as (B, N, ...), N the largest count; zeros behind the last of each."""
    most = max(counts)
    padded = rows.new_zeros(len(counts) * most, *rows.shape[1:])
    return padded.index_copy(0, _places_of(counts, most, rows.device), rows).unflatten(0, (len(counts), most))


def _places_of(counts: Sequence[int], most: int, device: torch.device) -> Tensor:
    """Where rows of several images, ``counts`` of each, stand among ``most`` of each: (M,)."""
    number = torch.tensor(counts, device=device)
    skipped = (most - number).cumsum(0) - (most - number)
    return torch.arange(int(sum(counts)), device=device) + skipped.repeat_interleave(number, output_size=int(sum(counts)))


def likest_mean(logits: Tensor, texts: Tensor, count: int = 3) -> Tensor:
    """For each name the mean logit of the ``count`` others whose texts are likest: logits (..., P), texts (P, D) unit rows -> (..., P).

    Each name has others of its own, so what is taken off does not cancel in a softmax. A single name has none: 0.
    """
    count = min(count, len(texts) - 1)
    if count < 1:
        return torch.zeros_like(logits)
    alike = (texts @ texts.T).fill_diagonal_(float("-inf"))
    return logits[..., alike.topk(count, dim=1).indices].mean(-1)


def _pair_places(config: RelationConfig) -> nn.Module:
    facts, width = config.facts, config.width
    if config.octaves:
        return GeometryEncoder(facts, width, config.octaves)
    return nn.Sequential(nn.Linear(facts, width), nn.GELU(), nn.Linear(width, width))


@dataclass(frozen=True)
class HeadsConfig:
    """Both halves; ``untrained``: whether names that training did not have are scored apart."""

    proposer: ProposerConfig
    relations: RelationConfig
    untrained: bool = False  # new heads do

    def to_json(self) -> dict:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> HeadsConfig:
        """The inverse of ``to_json``."""
        proposer, relations = ProposerConfig(**_plain(data["proposer"])), RelationConfig.from_json(data["relations"])
        return cls(proposer, relations, bool(data.get("untrained", False)))


def _plain(data: dict) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


class Heads(nn.Module):
    """Stage 2 of SPADE: proposer and relation part in one module, and scores for names that training did not have."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.proposer, self.relations = Proposer(config.proposer), RelationHeads(config.relations)
        self.regions = UntrainedScores(config.relations.clip_dim, 1) if config.untrained else None
        self.pairs = UntrainedScores(config.relations.clip_dim, 2) if config.untrained else None
