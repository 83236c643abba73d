"""Relations from labels and boxes alone: vectors for names, and the same relation heads as with pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from spade.relations.head import RelationHead, RelationScores
from spade.relations.nodes import BORDER, Nodes


@dataclass(frozen=True)
class BoxSegments:
    """Segments of one image, or of several: category (N,), group (N,) its supercategory, both -1 where unknown; thing
    (N,) bool.

    boxes (N, 4) xyxy and area (N,) in shares of the image; aspect (N,): the image's width over its height.
    """

    category: Tensor
    group: Tensor
    thing: Tensor
    boxes: Tensor
    area: Tensor
    aspect: Tensor

    @classmethod
    def of(
        cls, named: Sequence[tuple[int, int, bool]], boxes: Tensor, area: Tensor, size: tuple[int, int]
    ) -> BoxSegments:
        """Of ONE image of ``size`` (width, height): category, group, thing of each segment; boxes (N, 4) and areas
        (N,) in pixels.
        """
        width, height = size
        columns = torch.tensor(named, dtype=torch.int64).view(-1, 3)
        shares, share, aspect = (
            boxes / torch.tensor([width, height] * 2),
            area / (width * height),
            torch.full((len(boxes),), width / height),
        )
        return cls(columns[:, 0], columns[:, 1], columns[:, 2].bool(), shares, share, aspect)

    @classmethod
    def joined(cls, layouts: Sequence[BoxSegments]) -> BoxSegments:
        """Several images' segments, one image after the other."""
        return cls(*(torch.cat(column) for column in zip(*(one._columns() for one in layouts), strict=True)))

    def split(self, counts: Sequence[int]) -> list[BoxSegments]:
        """The inverse, by how many segments each image has."""
        parts = zip(*(column.split(counts) for column in self._columns()), strict=True)
        return [BoxSegments(*columns) for columns in parts]  # type: ignore[call-arg]

    def to(self, device: torch.device) -> BoxSegments:
        """On a device."""
        return self._each(lambda values: values.to(device))

    def mirrored(self, where: Tensor) -> BoxSegments:
        """Left and right exchanged, ``where`` (N,) bool says so."""
        x1, y1, x2, y2 = self.boxes.unbind(1)
        return replace(
            self, boxes=torch.where(where[:, None], torch.stack([1 - x2, y1, 1 - x1, y2], dim=1), self.boxes)
        )

    def jittered(self, share: float) -> BoxSegments:
        """Edges moved by about so large a share of their box, as other eyes draw it; those on the image's border stay
        there.
        """
        size = (self.boxes[:, 2:] - self.boxes[:, :2]).clamp(min=1e-3)
        moved = self.boxes + share * torch.randn_like(self.boxes) * size.repeat(1, 2)
        moved = torch.where((self.boxes <= BORDER) | (self.boxes >= 1 - BORDER), self.boxes, moved).clamp(0, 1)
        low, high = torch.minimum(moved[:, :2], moved[:, 2:] - 1e-3), moved[:, 2:]
        area = (self.area * ((high - low) / size).prod(1)).clamp(max=1)
        return replace(self, boxes=torch.cat([low, high], dim=1), area=area)

    def only(self, kept: Tensor) -> BoxSegments:
        """The segments that are kept (N,) bool."""
        return self._each(lambda values: values[kept])

    def _columns(self) -> tuple[Tensor, ...]:
        return self.category, self.group, self.thing, self.boxes, self.area, self.aspect

    def _each(self, change: Callable[[Tensor], Tensor]) -> BoxSegments:
        return BoxSegments(*map(change, self._columns()))


def moved(layouts: Sequence[BoxSegments], device: torch.device) -> list[BoxSegments]:
    """Several images' segments on a device, all in one copy."""
    return BoxSegments.joined(layouts).to(device).split([len(one.boxes) for one in layouts])


class LearnedEmbeddings(nn.Module):
    """A vector for each name, on top of one for its supercategory and one for thing or stuff; a vector for each
    predicate.

    In training a name is now and then hidden (label_dropout), and half of these times its supercategory, too, so
    that what is left learns to stand for labels that the model does not know.
    """

    def __init__(self, objects: int, groups: int, predicates: int, size: int, label_dropout: float = 0.2) -> None:
        super().__init__()
        self.label_dropout = label_dropout
        self.names, self.groups, self.kinds = (
            nn.Embedding(objects, size),
            nn.Embedding(groups, size),
            nn.Embedding(2, size),
        )
        self.predicates = nn.Parameter(torch.randn(predicates, size))

    def labels(self, layouts: Sequence[BoxSegments]) -> Tensor:
        """Vectors (M, E) of all images' segments."""
        category, group = (torch.cat([getattr(one, name) for one in layouts]) for name in ("category", "group"))
        if self.training and self.label_dropout:
            chance = torch.rand(len(category), device=category.device)
            category = category.masked_fill(chance < self.label_dropout, -1)
            group = group.masked_fill(chance < self.label_dropout / 2, -1)
        kinds: Tensor = self.kinds(torch.cat([one.thing for one in layouts]).long())
        return kinds + _rows(self.groups, group) + _rows(self.names, category)


class TextEmbeddings(nn.Module):
    """Text embeddings of names (C, E) and predicates (P, E), which may be exchanged; only thing or stuff has a learned
    vector.
    """

    def __init__(self, objects: Tensor, predicates: Tensor) -> None:
        super().__init__()
        self.kinds = nn.Embedding(2, objects.shape[1])
        self.objects: Tensor
        self.predicates: Tensor
        self.register_buffer("objects", objects, persistent=False)
        self.register_buffer("predicates", predicates, persistent=False)

    def labels(self, layouts: Sequence[BoxSegments]) -> Tensor:
        """Vectors (M, E) of all images' segments."""
        kinds: Tensor = self.kinds(torch.cat([one.thing for one in layouts]).long())
        return kinds + self.objects[torch.cat([one.category for one in layouts])]


class BoxRelationModel(nn.Module):
    """Vectors for names, and a relation head."""

    def __init__(self, heads: RelationHead, words: LearnedEmbeddings | TextEmbeddings) -> None:
        super().__init__()
        self.heads, self.words = heads, words

    def nodes(self, layouts: Sequence[BoxSegments]) -> list[Nodes]:
        """Segments with their labels' vectors."""
        vectors = self.words.labels(layouts).split([len(one.boxes) for one in layouts])
        return [
            Nodes(None, None, vector, one.boxes, one.area, aspect=one.aspect)
            for vector, one in zip(vectors, layouts, strict=True)
        ]

    def relate(self, layouts: Sequence[BoxSegments]) -> list[RelationScores]:
        """Scores of ordered pairs, image by image."""
        return self.heads.relate(self.nodes(layouts), None, self.words.predicates)


def _rows(table: nn.Embedding, index: Tensor) -> Tensor:
    """Rows of a table, zeros for -1."""
    found: Tensor = table(index.clamp(min=0)) * (index >= 0)[:, None]
    return found
