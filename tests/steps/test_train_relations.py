from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import spade
from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.data.samples import annotated_regions
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.models.build import heads_of
from spade.models.checkpoint import read_image_model
from spade.steps import calibrate, invert, train_relations
from spade.steps import world as world_step
from spade.steps.common import Run
from spade.steps.relation_method import resolve
from spade.structures.vocabulary import Label, Vocabulary
from spade.training.relations import RelationTraining
from tests.configs import calibrating, inverting, relating
from tests.steps.helpers import copied, lines


@pytest.mark.slow
def test_calibration_from_scratch_lowers_the_loss_on_validation_images(pipeline, world, tmp_path):
    source = pipeline["invert"]
    run = Run(Workspace(tmp_path))
    shutil.copytree(source.path, tmp_path / "invert" / source.key)
    result = calibrate.run(calibrating(epochs=6, init="scratch"), run)
    assert result.result.loss_after < 0.95 * result.result.loss_before
    curves = lines(result.path / "curves.jsonl")
    assert [row["epoch"] for row in curves] == list(range(7))
    assert not (result.path / "state.safetensors").exists()
    assert {"pytorch_lora_weights.safetensors", "adapter_config.json", "image_adapter.safetensors", "adapter.json"} == {
        p.name for p in (result.path / "adapter").iterdir()
    }


@pytest.mark.slow
def test_training_from_scratch_learns(pipeline, tmp_path):
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    result = train_relations.run(relating(epochs=3, init="scratch"), run)
    curves = lines(result.path / "curves.jsonl")
    for term in ("mask", "rel", "pair"):
        assert curves[-1][term] < curves[1][term], term


@pytest.mark.slow
def test_names_that_training_did_not_have_get_their_share(pipeline, world, tmp_path):
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    done = train_relations.run(relating(epochs=1, init="scratch"), run)
    model = spade.load(done.path)
    assert model.unseen_odds == json.loads((done.path / "model.json").read_text())["unseen_odds"] > 0
    for scores in (model.heads.regions, model.heads.pairs):
        assert not torch.equal(scores.weights, type(scores)(len(scores.mean), len(scores.weights) - 1).weights), (
            "they were fitted"
        )
        assert scores.mean.norm() > 0.1
    image = world / "images" / "000004.png"
    words = Vocabulary(
        (*model.vocabulary.objects, Label("kangaroo", True)), (*model.vocabulary.predicates[:3], "hugging")
    )
    new = []
    for odds in (0.0, 1.0, 1e6):
        model.unseen_odds = odds
        found = model.relate(model.encode_segments(image, *given_segments(world, "000004"), words))
        assert np.allclose(found.scores.sum(1) + found.no_relation, 1, atol=1e-5)
        new.append(float((found.scores[:, 3] / found.scores.sum(1)).mean()))
        seen = model.segment(image, words)
        named = [words.names[s.category] for s in seen.segments]
        assert odds < 1e6 or set(named) <= {"kangaroo"}
    assert new[2] > 0.99
    assert 0 < new[1] < 0.9
    assert spade.load(done.path, unseen_odds=0.0).unseen_odds == 0


def given_segments(world, name):
    """Numbers (H, W) and categories of an annotated scene."""
    dataset = load_psg(world)
    record = next(r for r in dataset.records if r.file_name.endswith(f"{name}.png"))
    return annotated_regions(dataset, record), [segment.category for segment in record.segments]


@pytest.mark.slow
def test_settings_are_kept_with_the_model(pipeline, world, tmp_path):
    """One training with many of them; each alone is proved at the builder and in the head."""
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    own = {
        "context": ("near",),
        "attention": "literal",
        "neighbours": "hard",
        "nearness": "masks",
        "selector": "cosine",
    }
    own |= {"geometry": False, "look": False, "layers": 1, "width": 32, "fourier_bands": 0, "pairs": 3}
    more = {"logit_adjustment": 0.5, "accumulate": 2, "batch_size": 4, "fine": False, "name_attention": False}
    result = train_relations.run(relating(epochs=1, init="scratch", mode="predcls", limit=8, **own, **more), run)
    facts = json.loads((result.path / "model.json").read_text())["heads"]["relations"]
    assert {name: tuple(facts[name]) if name == "context" else facts[name] for name in own} == own
    loaded = spade.load(result.path)
    assert (loaded.heads.proposer.config.strides, loaded.heads.proposer.trust) == ((8, 16, 32), None)
    assert len(loaded.predict(next((world / "images").iterdir())).pairs) <= 3
    # Relations on a frozen mask proposer are as wide as its queries.
    frozen = {"epochs": 1, "masks_from": result.path, "limit": 8}
    with pytest.raises(
        SpadeError, match=r"`masks_from`: its queries have 32 channels, the relation head 64; use `width=32`"
    ):
        train_relations.run(relating(init="scratch", width=64, **frozen), run)
    bare = train_relations.run(relating(init="scratch", layers=0, **frozen), run)
    assert not spade.load(bare.path).heads.relations.graph.layers
    assert spade.load(bare.path).heads.relations.config.width == 32
    manifest = run.workspace.newest("train-relations").manifest
    assert manifest["config"]["relations"]["layers"] == 0, "the manifest says what was built"
    assert manifest["config"]["schedule"]["learning_rate"] == 1e-3, "and what every default came to"


@pytest.mark.parametrize(
    ("setting", "spelled"),
    [
        ({"neighbours": "hard"}, "`neighbours=hard`"),
        ({"width": 128}, "`width=128`"),
        ({"geometry": False}, "`geometry=False`"),
        ({"context": ()}, "`context=`"),
        ({"fine": False}, "`fine=False`"),
        ({"name_attention": False}, "`name_attention=False`"),
    ],
)
def test_other_heads_than_the_packaged_ones_begin_from_scratch(setting, spelled):
    packaged = read_image_model(embedded_model())
    with pytest.raises(SpadeError, match=f"^{spelled}: the packaged heads, .* are others; add `init=scratch`"):
        resolve(relating(**setting), TINY, packaged, None)


def test_dropout_and_pairs_may_be_changed_where_training_starts_from_the_packaged_heads():
    packaged = read_image_model(embedded_model())
    method = resolve(relating(dropout=0.4, pairs=7), TINY, packaged, None)
    heads = heads_of(packaged, 25, method.relations)
    assert (heads.relations.config.dropout, heads.relations.config.pairs) == (0.4, 7)
    assert heads.proposer.config.classes == 25


@pytest.mark.slow
def test_a_killed_training_on_a_frozen_mask_generator_ends_in_the_same_bytes(pipeline, tmp_path, monkeypatch):
    """Images go through the generator when they are first asked for, in the first epoch or after a kill; it changes
    nothing.
    """
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    masks = train_relations.run(relating(epochs=1), run).path
    config = relating(epochs=2, init="scratch", masks_from=masks, dropout=0.3)
    whole = train_relations.run(config, run)
    before = [(whole.path / name).read_bytes() for name in ("heads.safetensors", "curves.jsonl")]
    shutil.rmtree(whole.path)
    losses, seen = RelationTraining.losses, []

    def killed(self, batch):
        seen.append(batch)
        if len(seen) > len(self.images.batches(8, 0, 0)) + 1:
            raise KeyboardInterrupt
        return losses(self, batch)

    monkeypatch.setattr(RelationTraining, "losses", killed)
    with pytest.raises(KeyboardInterrupt):
        train_relations.run(config, run)
    monkeypatch.setattr(RelationTraining, "losses", losses)
    again = train_relations.run(config, run)
    assert again.path == whole.path
    assert [(again.path / name).read_bytes() for name in ("heads.safetensors", "curves.jsonl")] == before


@pytest.mark.slow
def test_a_student_that_is_told_no_names_has_no_attention_to_them(world, tmp_path):
    run = Run(Workspace(tmp_path))
    invert.run(inverting(data=world, keep="tokens", limit=4), run)
    calibrate.run(calibrating(epochs=1, alignment="index", init="scratch"), run)
    made = train_relations.run(relating(epochs=1, init="scratch"), run)
    assert spade.load(made.path).heads.proposer.trust is None


@pytest.mark.slow
def test_relations_alone_are_learned_on_a_frozen_mask_generator(pipeline, tmp_path):
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    first = pipeline["train-relations"]
    second = train_relations.run(relating(epochs=2, init="scratch", masks_from=first.path), run)
    one, two = spade.load(first.path).heads, spade.load(second.path).heads
    for name, value in one.proposer.state_dict().items():
        assert torch.equal(value, two.proposer.state_dict()[name]), name
    curves = lines(second.path / "curves.jsonl")
    assert "mask" not in curves[-1]
    assert curves[-1]["rel"] < curves[1]["rel"]
    assert len({row["PQ"] for row in curves}) == 1, "segments stay as they are"
    assert second.result.parameters == sum(p.numel() for p in two.relations.parameters())
    fewer = Path(shutil.copytree(first.path, tmp_path / "fewer"))
    facts = json.loads((fewer / "model.json").read_text())
    lost = facts["vocabulary"]["objects"].pop()
    (fewer / "model.json").write_text(json.dumps(facts))
    with pytest.raises(
        SpadeError, match=rf"^`masks_from=.*fewer`: was not trained to name '{lost['name']}', which the data set has"
    ):
        train_relations.run(relating(epochs=1, init="scratch", masks_from=fewer), run)
    with pytest.raises(SpadeError, match=r"^nowhere: holds no trained model"):
        train_relations.run(relating(epochs=1, masks_from=Path("nowhere")), run)


@pytest.mark.slow
def test_relations_are_learned_on_a_model_alone(tmp_path):
    """The packaged model brings adapter and masks; nothing was inverted or calibrated here."""
    world_step.run(tmp_path / "data", 10, (128, 128), 5, Run(Workspace(tmp_path)), setting="ovdr")
    run = Run(Workspace(tmp_path / "w"))
    config = relating(data=tmp_path / "data", epochs=1, init="scratch", masks_from=Path("tiny-open"))
    made = train_relations.run(config, run)
    assert (made.path / "adapter" / "adapter.json").is_file()
    packaged, own = spade.load("tiny-open").heads, spade.load(made.path).heads
    for name, value in packaged.proposer.state_dict().items():
        assert torch.equal(value.float(), own.proposer.state_dict()[name].float()), name
    assert run.workspace.newest("train-relations").manifest["inputs"] == {}
    with pytest.raises(SpadeError, match="brings its own calibration; leave one of the two out"):
        train_relations.run(config, Run(Workspace(tmp_path / "w"), source="abc"))
    with pytest.raises(SpadeError, match="no data set named and nothing calibrated"):
        train_relations.run(replace(config, data=None), run)


@pytest.mark.slow
def test_a_start_that_lacks_names_is_not_kept(pipeline, world, tmp_path):
    """Saved under the longer list the packaged heads would pass for trained on names that they never saw."""
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    data = copied(world, tmp_path)
    document = json.loads((data / "psg.json").read_text())
    document["stuff_classes"].append("snow")
    (data / "psg.json").write_text(json.dumps(document))
    made = train_relations.run(relating(data=data, epochs=1, learning_rate=1e-12), run)
    assert made.result.init == "embedded: tiny"
    assert set(spade.load(made.path).vocabulary.objects) > set(spade.load().vocabulary.objects)
    assert made.result.validation_after == made.result.validation_before, (
        "nothing was learned, so the start was as good"
    )
    assert made.result.best_epoch == 1


@pytest.mark.slow
def test_given_segments_are_validated_in_predcls(pipeline, tmp_path):
    """With annotated masks and labels PQ is perfect from the start."""
    run = Run(Workspace(tmp_path))
    for step in ("invert", "calibrate"):
        shutil.copytree(pipeline[step].path, tmp_path / step / pipeline[step].key)
    result = train_relations.run(relating(epochs=1, mode="predcls"), run)
    assert result.result.validation_before["PQ"] == 1.0
    assert result.result.validation_before["R@10"] > 0
