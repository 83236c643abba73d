"""Names that a mirrored image makes wrong."""

from __future__ import annotations

import pytest

from spade.structures.vocabulary import Vocabulary
from spade.training.mirroring import told_by_side


@pytest.mark.parametrize(
    ("predicates", "found"),
    [
        (["left of", "on", "to the RIGHT of"], ["left of", "to the RIGHT of"]),
        (["left_of", "upright on", "bright"], ["left_of"]),
        (["on", "leftover of"], []),
    ],
)
def test_names_that_say_left_or_right_are_found(predicates, found):
    assert told_by_side(Vocabulary.of(["person"], ["sky"], predicates)) == found


def test_labels_are_looked_at_too():
    assert told_by_side(Vocabulary.of(["left shoe", "person"], [], ["on"])) == ["left shoe"]
