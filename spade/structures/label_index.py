"""What a model with a fixed table of names makes of any label: its name, a synonym, its supercategory, or an unknown
thing or stuff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spade.core.errors import SpadeError
from spade.structures.vocabulary import Label, known_supercategory


@dataclass(frozen=True)
class LabelMatch:
    """Indices into the table's names and groups, -1 where there is none; ``matched_via`` says it in words, nothing for
    a known name.
    """

    category: int
    group: int
    is_thing: bool
    matched_via: str | None = None


class LabelIndex:
    """Known labels, and the supercategories among them. Names are found by their official or plain words, in any
    case.
    """

    def __init__(self, labels: Sequence[Label], groups: Sequence[str]) -> None:
        self.labels, self.groups = tuple(labels), tuple(groups)
        self._group = {name.casefold(): number for number, name in enumerate(groups)}
        self._place: dict[str, int] = {}
        for number, label in enumerate(labels):
            for name in (label.name, *label.prompts):
                self._place.setdefault(name.casefold(), number)

    @classmethod
    def of(cls, labels: Sequence[Label]) -> LabelIndex:
        """With all supercategories that the labels give or, where they are official ones, have."""
        return cls(labels, sorted({group for label in labels if (group := _group_of(label)) is not None}))

    def find(self, label: Label) -> LabelMatch:
        """In this order: by name, by a synonym, by supercategory, as an unknown thing or stuff."""
        for number, name in enumerate((label.name, *label.synonyms)):
            place = self._place.get(name.casefold())
            if place is not None:
                known = self.labels[place]
                return LabelMatch(place, self.group(known), known.is_thing, f'its synonym "{name}"' if number else None)
        if (group := self.group(label)) >= 0:
            return LabelMatch(-1, group, label.is_thing, f'its supercategory "{self.groups[group]}"')
        return LabelMatch(-1, -1, label.is_thing, "an unknown thing" if label.is_thing else "unknown stuff")

    def group(self, label: Label) -> int:
        """The number of a label's supercategory, -1 where it is not known."""
        group = _group_of(label)
        return -1 if group is None else self._group.get(group.casefold(), -1)


def _group_of(label: Label) -> str | None:
    return label.supercategory or known_supercategory(label.name)


OR = "; or "  # between the things that one label stands for


def refuse_unknown_predicates(wanted: Sequence[str], learned: Sequence[str]) -> None:
    """Raise SpadeError for a predicate that is not among the learned ones."""
    for name in wanted:
        if name not in learned:
            raise SpadeError(
                f'predicate "{name}": this model has learned {len(learned)} predicates and this is none of them; '
                "choose from "
                f"{', '.join(learned[:5])}, ..., or train one that reads text: spade train-boxes with an OpenCLIP model"
            )
