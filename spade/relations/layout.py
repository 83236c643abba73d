"""Relations from labels and boxes alone: learned vectors for names, and the same relation heads as with pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade.relations.model import Nodes, RelationHeads


@dataclass(frozen=True)
class Layout:
    """The segments of ONE image: category (N,), group (N,) its supercategory, both -1 where unknown; thing (N,) bool.

    boxes (N, 4) xyxy and area (N,) in shares of the picture.
    """

    category: Tensor
    group: Tensor
    thing: Tensor
    boxes: Tensor
    area: Tensor

    def mirrored(self) -> Layout:
        """Left and right exchanged."""
        x1, y1, x2, y2 = self.boxes.unbind(1)
        return Layout(self.category, self.group, self.thing, torch.stack([1 - x2, y1, 1 - x1, y2], dim=1), self.area)


class LayoutModel(nn.Module):
    """A vector for each name, on top of one for its supercategory and one for thing or stuff; a vector for each predicate.

    In training a name is now and then withheld, and half of these times its supercategory, too, so that what is left learns to stand
    for labels that the model does not know.
    """

    def __init__(self, heads: RelationHeads, objects: int, groups: int, predicates: int, withheld: float = 0.1) -> None:
        super().__init__()
        size = heads.config.clip_dim
        self.heads, self.withheld = heads, withheld
        self.names, self.groups, self.kinds = nn.Embedding(objects, size), nn.Embedding(groups, size), nn.Embedding(2, size)
        self.predicates = nn.Parameter(torch.randn(predicates, size))

    def nodes(self, layouts: Sequence[Layout]) -> list[Nodes]:
        """Segments with their labels' vectors (N, E)."""
        out = []
        for one in layouts:
            category, group = one.category, one.group
            if self.training and self.withheld:
                chance = torch.rand(len(category), device=category.device)
                category = category.masked_fill(chance < self.withheld, -1)
                group = group.masked_fill(chance < self.withheld / 2, -1)
            label = self.kinds(one.thing.long()) + _rows(self.groups, group) + _rows(self.names, category)
            out.append(Nodes(None, None, label, one.boxes, one.area))
        return out


def _rows(table: nn.Embedding, index: Tensor) -> Tensor:
    """Rows of a table, zeros for -1."""
    found: Tensor = table(index.clamp(min=0)) * (index >= 0)[:, None]
    return found
