"""Names that a mirrored image makes wrong."""

from __future__ import annotations

import json
import shutil

import pytest

from spade.core.workspace import Workspace
from spade.steps import train_boxes
from spade.steps.common import Run
from spade.structures.vocabulary import Vocabulary
from spade.training import boxes
from spade.training.mirroring import told_by_side
from tests.configs import boxing


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


def test_layouts_are_not_mirrored_where_a_predicate_says_a_side(world, tmp_path, monkeypatch):
    shares, said = set(), []
    varied = boxes.varied
    monkeypatch.setattr(boxes, "varied", lambda *args: shares.add(args[2]) or varied(*args))
    data = tmp_path / "psg"
    shutil.copytree(world, data)
    for folder in (world, data):
        if folder == data:
            facts = json.loads((data / "psg.json").read_text())
            facts["predicate_classes"][0] = "left of"
            (data / "psg.json").write_text(json.dumps(facts))
        run = Run(Workspace(tmp_path / f"{folder.parent.name} w"))
        run.report.say = said.append
        train_boxes.run(boxing(data=folder, epochs=1, width=32, layers=1, batch_size=4), run)
        assert shares.pop() == (0.0 if folder == data else 0.5)
        assert any("'left of'" in line for line in said) == (folder == data)
