"""Names that training did not have, and fusion with OpenCLIP's view."""

from __future__ import annotations

import json
import math
import shutil
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import spade
from spade.core.errors import SpadeError
from spade.diffusion.backbone_files import embedded_model
from spade.models.config import UNSEEN_ODDS
from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.open_vocabulary.unseen_names import region_evidence
from spade.structures.vocabulary import Label, Vocabulary
from tests.models.segments import given, scene


@pytest.fixture(scope="module")
def model():
    """The packaged model that has names left to learn, and is not as sure as the other."""
    return spade.load("tiny-open")


def test_few_known_names_do_not_make_a_model_sure(model):
    """Asked for one predicate that it knows and one that it does not, it can be sure of another that it was not asked
    for.
    """
    known, *others = model.vocabulary.predicates
    few = EncodedVocabulary.of(
        Vocabulary(model.vocabulary.objects, (known, "hugging")), model.vocabulary, model.student
    )
    assert few.is_seen_predicates.tolist() == [True, False]
    assert len(few.other_seen_predicates) == len(others)
    assert len(few.other_seen_objects) == 0
    every = EncodedVocabulary.of(model.vocabulary, model.vocabulary, model.student)
    assert torch.allclose(few.other_seen_predicates, every.predicates[1:], atol=1e-6)
    assert len(every.other_seen_predicates) == 0


def named(model, **attributes):
    """P(predicate | pair) of given segments, by a copy of the model that is asked in another way."""
    other = copy(model)
    for name, value in attributes.items():
        setattr(other, name, value)
    found = given(other, 3, side=64, predicates=(*model.vocabulary.predicates, "hugging"))
    return found.scores / found.scores.sum(1, keepdims=True)


def test_fusion_is_a_product_of_both_branches(model):
    """P = P_diffusion^E x P_clip^(1 - E), as one branch alone has them, for predicates and for regions."""
    diffusion, clip, both = (named(model, fusion=exponent, unseen_odds=0.0) for exponent in (1.0, 0.0, 0.34))
    product = diffusion**0.34 * clip**0.66
    assert np.allclose(both, product / product.sum(1, keepdims=True), atol=1e-4)
    assert np.abs(both - diffusion).max() > 0.05
    image, words = Image.fromarray(scene(0).image), model._encode(model.vocabulary)
    _, proposals, classes, attention = model._propose(image, words)
    cells, masks = model.student.clip.embed_cells(image), proposals.masks[-1][0].sigmoid()
    told = []
    for exponent in (1.0, 0.0, 0.34):
        other = copy(model)
        other.fusion = exponent
        told.append(other.names.regions(classes, proposals.queries[-1][0], masks, cells, attention, words))
    assert torch.allclose(
        told[1][:, :-1] / told[1][:, :-1].sum(1, keepdim=True),
        model.student.clip.region_scores(cells, masks, words.objects),
    )
    assert all(torch.equal(own[:, -1], classes.softmax(-1)[:, -1]) for own in told), "what is nothing stays"
    product = told[0][:, :-1] ** 0.34 * told[1][:, :-1] ** 0.66
    share = told[2][:, :-1] / told[2][:, :-1].sum(1, keepdim=True)
    assert torch.allclose(share, product / product.sum(1, keepdim=True), atol=1e-4)


def test_sure_pairs_give_new_names_a_share_only_where_asked(model):
    doubting, giving, alone = named(model), named(model, gated=False), named(model, unseen_odds=0.0)
    assert (giving[:, -1] > doubting[:, -1]).all()
    assert (giving[:, -1] > 2 * doubting[:, -1]).any(), "one of the pairs is sure"
    assert np.abs(np.log(doubting[:, -1] / alone[:, -1])).max() > 0.5


def test_new_names_of_regions_get_what_the_probe_says_or_else_doubt(model):
    """Where void has taught the probe, its odds x odds / default x how much likelier evidence finds a new name than a
    known one; where not, odds x 4 x doubt beside what OpenCLIP and attention give the known names.
    """
    objects = (*model.vocabulary.objects, Label("zebra", True), Label("snow", False))
    encoded = model._encode(Vocabulary(objects, model.vocabulary.predicates))
    new = ~encoded.is_seen_objects
    assert new.sum() == 2
    image = Image.fromarray(scene(0).image)
    with torch.no_grad():
        _, proposals, classes, attention = model._propose(image, encoded)
        queries, masks = proposals.queries[-1][0], proposals.masks[-1][0].sigmoid()
        cells = model.student.clip.embed_cells(image)
        evidence = region_evidence(model.student.clip, cells, masks, encoded.to_objects(attention))
        trained = torch.cat([classes[:, :-1][:, ~new], classes[:, -1:]], dim=1)

        def share(names):
            told = names.regions(classes, queries, masks, cells, attention, encoded)[:, :-1]
            return told[:, new].sum(1) / told.sum(1)

        given = model.heads.regions(evidence, encoded.objects).softmax(-1)
        probe = model.heads.unknown(trained, queries, evidence.views)
        probe = probe + (given[:, new].mean(1) / given[:, ~new].mean(1)).log()
        for times in (1.0, 3.0):
            wanted = (probe + math.log(times)).sigmoid()
            assert torch.allclose(share(replace(model.names, unseen_odds=times * UNSEEN_ODDS)), wanted, atol=1e-5)
        heads = deepcopy(model.heads)
        heads.unknown = None
        unsure = 1 - classes[:, :-1][:, ~new].softmax(-1).amax(-1)
        mass = 4.0 * UNSEEN_ODDS * unsure * given[:, new].sum(1)
        wanted = mass / (mass + given[:, ~new].sum(1))
        assert torch.allclose(share(replace(model.names, heads=heads, unseen_odds=UNSEEN_ODDS)), wanted, atol=1e-5)

        # Whether it is rather a thing or stuff does not change what both have, only which of them it is.
        known = classes[:, :-1][:, ~new]
        things = encoded.is_thing[~new]
        rather = known[:, things].logsumexp(-1) - known[:, ~things].logsumexp(-1)
        zero_shot = model.heads.regions(evidence, encoded.objects)
        zebra, snow = model.names.regions(classes, queries, masks, cells, attention, encoded)[:, :-1][:, new].T
        wanted = zero_shot[:, new][:, 0] - zero_shot[:, new][:, 1] + rather
        assert torch.allclose((zebra / snow).log(), wanted, atol=1e-3)


def test_odds_of_new_names_are_refused_where_no_region_is_seen(tmp_path):
    folder = Path(shutil.copytree(embedded_model(), tmp_path / "m"))
    facts = json.loads((folder / "model.json").read_text())
    facts["heads"] |= {"unseen": False, "probe": False}
    (folder / "model.json").write_text(json.dumps(facts))
    kept = {
        name: value
        for name, value in load_file(folder / "heads.safetensors").items()
        if not name.startswith(("regions.", "pairs.", "unknown."))
    }
    save_file(kept, folder / "heads.safetensors")
    assert spade.load(folder).heads.pairs is None
    assert spade.load(folder, unseen_odds=0.0).unseen_odds == 0
    with pytest.raises(SpadeError, match=r"^`unseen_odds=2`: this model's OpenCLIP tower sees no regions"):
        spade.load(folder, unseen_odds=2.0)


def test_unseen_predicates_of_the_likeliest_pairs_are_told_apart_by_denoising(model):
    """What unseen predicates have together stays theirs; other pairs, and seen predicates, stay as they are."""
    words = Vocabulary.of(("person", "horse"), ("grass-merged",), (*model.vocabulary.predicates, "hugging", "brushing"))
    plain, slow = copy(model), copy(model)
    plain.unseen_odds = slow.unseen_odds = 64.0
    slow.denoised_pairs = 2
    image = Image.fromarray(scene(3).image)
    before, after = (other.predict(image, words) for other in (plain, slow))
    assert (before.pairs == after.pairs).all()
    changed = np.abs(before.scores - after.scores).max(1) > 1e-6
    assert 1 <= changed.sum() <= 2
    assert np.allclose(before.scores[:, :-2], after.scores[:, :-2])
    assert np.allclose(before.scores[:, -2:].sum(1), after.scores[:, -2:].sum(1), atol=1e-5)
