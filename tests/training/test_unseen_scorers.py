"""What the scorers of unseen names are fitted on."""

from __future__ import annotations

import torch

import spade
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.models.checkpoint import OPEN
from spade.open_vocabulary import unknown_probe
from spade.steps import world as world_step
from spade.steps.common import Run
from spade.training.targets import Truth
from spade.training.unseen_scorers import _regions_found, fit_unseen_scorers
from spade.world.annotation import make_sample
from spade.world.layout import STUFF, THINGS
from tests.relations.test_parts import boxes_to_masks


def test_named_segments_take_their_proposals_and_unnamed_regions_what_fits():
    """Query 2 is the named one; of two that lie over the unnamed region, 3 covers it and 1 hardly."""
    masks = 20 * boxes_to_masks((6, 6, 8, 8), (4, 0, 5, 1), (0, 0, 4, 4), (4, 0, 8, 4), size=8) - 10
    logits = torch.zeros(4, 3)
    none = torch.zeros(0, dtype=torch.int64)
    truth = Truth(
        boxes_to_masks((0, 0, 4, 4), size=8), torch.tensor([1]), none.view(0, 3), boxes_to_masks((4, 0, 8, 4), size=8)
    )
    chosen, unknown = _regions_found(masks, logits, truth)
    assert chosen.tolist() == [2, 3]
    assert unknown.tolist() == [False, True]
    lacking = Truth(truth.masks, truth.classes, truth.triples, boxes_to_masks((0, 6, 8, 8), size=8))
    chosen, unknown = _regions_found(masks, logits, lacking)
    assert chosen.tolist() == [2], "nothing covers half of it"
    assert unknown.tolist() == [False]
    annotated = Truth(truth.masks, truth.classes, truth.triples, boxes_to_masks(size=8))
    assert _regions_found(masks, logits, annotated)[1].tolist() == [False]


def test_the_probe_learns_from_void_and_from_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(unknown_probe, "FEWEST", 2)
    model = spade.load(OPEN)
    student, names = model.student, model.vocabulary
    texts = student.clip.embed_labels(names.objects), student.clip.embed_predicates(names.predicates)
    labels = student.label_context(names)

    world_step.run(tmp_path / "psg", 20, (128, 128), 3, Run(Workspace(tmp_path / "w")), setting="ovdr")
    dataset = load_psg(tmp_path / "psg").for_training()
    assert dataset.vocabulary == names

    def fitted(records):
        fit_unseen_scorers(model.heads, student, labels, texts, dataset, records)
        return model.heads.unknown.is_fitted

    assert model.heads.unknown.is_fitted, "as packaged"
    assert not fitted([]), "what was learned from other proposals is forgotten"
    records = dataset.split("train")
    assert fitted(records)
    novel = set(THINGS + STUFF) - {label.name for label in names.objects}
    whole = [record for record in records if novel.isdisjoint(make_sample(3, int(record.image_id)).labels)]
    assert len(whole) > 1
    assert not fitted(whole), "where every region has a name"
