"""Names that a mirrored image makes wrong."""

from __future__ import annotations

import re

from spade.structures.vocabulary import Vocabulary

_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def told_by_side(vocabulary: Vocabulary) -> list[str]:
    """Predicates and labels that say left or right, in English; other languages are not known here. Images are not
    mirrored where there are any, or "left of" would be learned from what lies on the right.
    """
    names = [*vocabulary.predicates, *(label.name for label in vocabulary.objects)]
    return [name for name in names if _SIDE.search(name.replace("_", " "))]


def unmirrored(names: list[str]) -> str:
    """What is said where images are not mirrored for these names."""
    return f"images are not mirrored: {names[0]!r} would be learned from what lies on the other side"
