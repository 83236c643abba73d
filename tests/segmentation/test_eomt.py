"""EoMT, which pads without saying so and is published without names; and what else differs by how a model was saved."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.segmentation.pretrained import PretrainedSegmenter
from spade.segmentation.segmenter_files import HUB, resolve_segmenter
from spade.steps import predict
from spade.steps.common import Run
from spade.steps.config import PredictConfig
from tests.segmentation.test_pretrained import CPU, NAMES, mask2former, sure, sure_of


def eomt(folder, **processor):
    """A directory of the true architecture, small, with random weights; its config as published: a backbone's name and
    no labels.
    """
    from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

    torch.manual_seed(0)
    config = EomtConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=8, num_queries=4,
        num_blocks=2, num_upscale_blocks=1, num_labels=len(NAMES),
    )  # fmt: skip
    sure(EomtForUniversalSegmentation(config), "class_predictor.bias").save_pretrained(folder)
    path = folder / "config.json"
    facts = json.loads(path.read_text("utf-8")) | {"backbone": "vit_large_patch14_reg4_dinov2"}
    path.write_text(json.dumps(facts), "utf-8")
    size = {"shortest_edge": 64, "longest_edge": 64}
    EomtImageProcessor(size=size, **({"do_pad": True} | processor)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return PretrainedSegmenter(str(eomt(tmp_path_factory.mktemp("eomt"))), CPU)


def test_the_true_architecture_answers_with_cocos_names(segmenter, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    assert [label.name for label in segmenter.labels] == NAMES
    for size in ((90, 60), (33, 70)):
        graph = segmenter(Image.new("RGB", size, "green"), "a.jpg")
        assert (graph.width, graph.height) == size
        assert {segment.label for segment in graph.segments} <= {"grass-merged"}


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (200, 200)])
def test_segments_are_those_of_transformers_own_post_processing(segmenter, monkeypatch, size):
    """Masks lie where they belong although the model saw padding below or to the right."""
    masks = torch.full((3, 16, 16), -9.0)
    masks[0, :4, :8], masks[1, :4, 8:], masks[2, 4:] = 9.0, 9.0, 9.0
    if size[1] > size[0]:
        masks = masks.transpose(1, 2)
    assert _as_transformers_does(segmenter, monkeypatch, ["dog", "cat", "sky-other-merged"], masks, size) == 3


@pytest.mark.parametrize("alike", [False, True])
def test_what_raises_our_own_proposals_quality_is_no_part_of_a_published_model(segmenter, monkeypatch, alike):
    """Its scores are those of labels, however unsure a mask is; of two things that lie over one another none is
    preferred.
    """
    masks = torch.full((3, 16, 16), -9.0)
    if alike:  # both lose too much to the other
        masks[0, :, :10], masks[1, :, 2:12], masks[2, :, 12:] = 5.0, 4.0, 9.0
        masks[1, :, 6:12] = 9.0
    else:
        masks[0, :, :7], masks[1, :, 6:12], masks[2, :, 12:] = 0.6, 0.5, 9.0
    found = _as_transformers_does(segmenter, monkeypatch, ["dog", "cat", "sky-other-merged"], masks, (200, 200))
    assert found == (1 if alike else 3)


def _as_transformers_does(segmenter, monkeypatch, names, masks, size):
    """Compare labels, scores and masks with those of the processor; returns the number of segments."""
    sure_of(segmenter, monkeypatch, names, masks)
    graph = segmenter(Image.new("RGB", size), "a.jpg")

    class Answer:
        class_queries_logits = torch.full((1, len(names), len(NAMES) + 1), -9.0)
        masks_queries_logits = masks[None]

    for query, name in enumerate(names):
        Answer.class_queries_logits[0, query, NAMES.index(name)] = 9.0
    (theirs,) = segmenter._processor.post_process_panoptic_segmentation(Answer, target_sizes=[(size[1], size[0])])
    rows = {NAMES[row["label_id"]]: row for row in theirs["segments_info"]}
    assert {s.label for s in graph.segments} == set(rows)
    for segment in graph.segments:
        row = rows[segment.label]
        their_mask, ours = theirs["segmentation"].numpy() == row["id"], graph.ids == segment.id
        assert (ours & their_mask).sum() / (ours | their_mask).sum() > 0.95, segment.label
        assert segment.score == pytest.approx(row["score"], abs=1e-3)
    return len(graph.segments)


def test_names_that_nobody_wrote_down_are_refused(tmp_path):
    from transformers import EomtConfig, EomtForUniversalSegmentation

    folder = eomt(tmp_path)
    config = EomtConfig.from_pretrained(folder)
    config.num_labels = 7
    EomtForUniversalSegmentation(config).save_pretrained(folder)
    with pytest.raises(SpadeError, match="id2label has no names for its 7 classes"):
        PretrainedSegmenter(str(folder), CPU)


def test_a_model_that_cuts_images_into_pieces_is_refused(tmp_path):
    with pytest.raises(SpadeError, match="cuts images into pieces"):
        PretrainedSegmenter(str(eomt(tmp_path, do_split_image=True)), CPU)


def test_a_segmenter_saved_with_a_processor_config_alone(tmp_path, shared):
    folder = tmp_path / "onep"
    shutil.copytree(shared / "cases" / "J2-oneformer-saved-by-transformers-5" / "onep", folder)
    assert not (folder / "preprocessor_config.json").exists()
    segmenter = PretrainedSegmenter(str(folder), CPU)
    assert segmenter(Image.new("RGB", (90, 60)), "a.jpg").ids.shape == (60, 90)
    (folder / "processor_config.json").unlink()
    with pytest.raises(SpadeError, match=r"preprocessor_config\.json: no such part of a segmenter"):
        resolve_segmenter(str(folder))


def test_short_names_are_hub_models_with_cocos_classes(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert {"coco-tiny", "coco-base", "coco-large"} <= set(HUB)
    for name, repository in HUB.items():
        with pytest.raises(SpadeError, match=f"hf download {repository}"):
            resolve_segmenter(name)


def test_an_image_that_the_processor_cannot_take_is_its_own_error(tmp_path):
    """3 x 900 leaves no row of pixels at the processor's size."""
    folder = mask2former(tmp_path / "model")
    Image.new("RGB", (3, 900)).save(tmp_path / "thin.png")
    Image.new("RGB", (60, 40), "green").save(tmp_path / "whole.png")
    config = PredictConfig(images=(str(tmp_path / "*.png"),), segmenter=str(folder))
    done = predict.run(config, Run(Workspace(tmp_path / "w")))
    assert done.result.graphs == ["whole.json"]
    assert len(done.result.skipped) == 1
    assert "thin.png" in done.result.skipped[0]
    assert "cannot prepare an image of 3 x 900" in done.result.skipped[0]
