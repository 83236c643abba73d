import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from spade.core.errors import SpadeError
from spade.segmentation.pretrained import PretrainedSegmenter, without_padding
from spade.segmentation.segmenter_files import resolve_segmenter
from spade.structures.vocabulary import Label, psg_lists

NAMES = psg_lists()["thing_classes"] + psg_lists()["stuff_classes"]
SWIN = {
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 2,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
CPU = torch.device("cpu")


def sure(model, bias):
    """With random weights no query is sure of anything; this makes all of them sure of grass."""
    with torch.no_grad():
        model.get_parameter(bias)[NAMES.index("grass-merged")] += 9.0
    return model


def mask2former(folder):
    """A directory of the true architecture, small, with random weights."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**SWIN),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=1,
        id2label=dict(enumerate(NAMES)),
        label2id={name: number for number, name in enumerate(NAMES)},
    )
    sure(Mask2FormerForUniversalSegmentation(config), "class_predictor.bias").save_pretrained(folder)
    Mask2FormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


def oneformer(folder):
    from transformers import (
        CLIPTokenizerFast,
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    words = [
        "<|startoftext|>",
        "<|endoftext|>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    vocab = {word: number for number, word in enumerate(words)}
    CLIPTokenizerFast(vocab=vocab, merges=[], model_max_length=77).save_pretrained(folder)
    config = OneFormerConfig(
        backbone_config=SwinConfig(**SWIN),
        conv_dim=32,
        mask_dim=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=1,
        id2label=dict(enumerate(NAMES)),
        label2id={name: number for number, name in enumerate(NAMES)},
        text_encoder_vocab_size=len(words),
        is_training=False,
    )
    sure(
        OneFormerForUniversalSegmentation(config), "model.transformer_module.decoder.class_embed.bias"
    ).save_pretrained(folder)
    processor = OneFormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    processor.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    facts = json.loads(path.read_text("utf-8")) | {
        "class_info_file": "coco_panoptic.json",
        "repo_path": "shi-labs/oneformer_demo",
    }
    path.write_text(json.dumps(facts), "utf-8")  # as published: names that only the hub has
    return folder


@pytest.fixture(scope="module", params=[mask2former, oneformer], ids=["mask2former", "oneformer"])
def segmenter(request, tmp_path_factory):
    return PretrainedSegmenter(str(request.param(tmp_path_factory.mktemp("segmenter"))), CPU)


def sure_of(segmenter, monkeypatch, names, masks):
    """Let the model answer with these names and masks (Q, h, w): what is tested is what becomes of its answer."""
    asked = {}

    class Answer:
        class_queries_logits = torch.full((1, len(names), len(NAMES) + 1), -9.0)
        masks_queries_logits = masks[None]

    for query, name in enumerate(names):
        Answer.class_queries_logits[0, query, NAMES.index(name) if name else len(NAMES)] = 9.0
    forward = segmenter.model.forward

    def answer(**inputs):
        asked["shape"] = tuple(inputs["pixel_values"].shape)
        forward(**inputs)  # the true model takes these very inputs
        return Answer

    monkeypatch.setattr(segmenter, "model", answer)
    return asked


def test_an_image_of_any_shape_goes_through_the_true_architecture(segmenter):
    for size in ((90, 60), (33, 70)):
        graph = segmenter(
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)), "a.jpg"
        )
        assert (graph.width, graph.height) == size
        assert graph.panoptic.shape == (size[1], size[0])
        assert {s.id for s in graph.segments} == set(np.unique(graph.panoptic).tolist()) - {0}
        assert graph.relations == ()
        assert {s.label for s in graph.segments} == {"grass-merged"}
        assert len(graph.segments) == 1, "stuff of one name is one segment"
    assert [label.name for label in segmenter.labels] == NAMES
    assert [label.is_thing for label in segmenter.labels] == [True] * 80 + [False] * 53


def test_names_scores_and_places_are_the_models(segmenter, monkeypatch):
    masks = torch.full((4, 16, 24), -9.0)
    masks[0, :8], masks[1, 8:, :12], masks[2, 8:, 12:], masks[3] = 9.0, 9.0, 9.0, 9.0
    sure_of(segmenter, monkeypatch, ["sky-other-merged", "dog", "dog", None], masks)
    graph = segmenter(Image.new("RGB", (96, 64)), "a.jpg")
    found = {(s.label, s.is_thing, s.bbox) for s in graph.segments}
    assert {(label, thing) for label, thing, _ in found} == {("sky-other-merged", False), ("dog", True)}
    boxes = sorted((label, box) for label, _, box in found)
    for (label, box), (wanted, near) in zip(
        boxes, [("dog", (0, 32, 48, 64)), ("dog", (48, 32, 96, 64)), ("sky-other-merged", (0, 0, 96, 32))], strict=True
    ):
        assert label == wanted
        assert np.abs(np.subtract(box, near)).max() <= 4
    assert all(s.score > 0.99 for s in graph.segments)


def test_a_vocabulary_says_what_is_stuff(tmp_path):
    folder = mask2former(tmp_path)
    known = [Label("dog", False), Label("Grass-Merged", True)]
    labels = {label.name: label.is_thing for label in PretrainedSegmenter(str(folder), CPU, known).labels}
    assert (labels["dog"], labels["grass-merged"], labels["cat"]) == (False, True, True)


def test_what_was_padded_is_cut_off():
    masks = torch.zeros(1, 8, 8)
    masks[0, :4, :6] = 1.0  # the image's part, of a batch padded below and to the right
    valid = torch.zeros(1, 32, 32)
    valid[0, :16, :24] = 1
    found = without_padding(masks, {"pixel_values": torch.zeros(1, 3, 32, 32), "pixel_mask": valid})
    assert found.shape == (1, 16, 24)
    assert found[0, :14, :22].min() > 0.99
    assert torch.equal(
        without_padding(masks, {"pixel_values": torch.zeros(1, 3, 32, 32), "pixel_mask": valid * 0 + 1}), masks
    )


def test_masks_of_an_image_that_was_padded_lie_where_they_belong(segmenter, monkeypatch):
    """An image of 90 x 60 is seen at 96 x 64: no multiple of the model's stride in its short side's direction may
    shift the masks.
    """
    masks = torch.full((2, 16, 24), -9.0)
    masks[0, :, :12], masks[1, :, 12:] = 9.0, 9.0
    asked = sure_of(segmenter, monkeypatch, ["dog", "cat"], masks)
    graph = segmenter(Image.new("RGB", (300, 100)), "a.jpg")
    height, width = asked["shape"][-2:]
    boxes = {s.label: s.bbox for s in graph.segments}
    seen = min(1.0, (100 * width / 300) / height)  # share of the input's rows that the image fills
    assert boxes["dog"][0] == 0
    assert abs(boxes["dog"][2] - 150) <= 300 / 24 + 1, (boxes, seen)
    assert boxes["cat"][3] == 100


def test_an_unsure_model_finds_nothing(segmenter, monkeypatch):
    sure_of(segmenter, monkeypatch, [None, None], torch.zeros(2, 8, 8))
    graph = segmenter(Image.new("RGB", (50, 40)))
    assert graph.segments == ()
    assert not graph.panoptic.any()


def test_a_backbone_that_only_a_hub_could_describe_is_refused(tmp_path, monkeypatch):
    path = mask2former(tmp_path) / "config.json"
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    for changes, told in (
        (
            {"backbone": "microsoft/resnet-50", "backbone_config": None},
            r"names its backbone \(microsoft/resnet-50\) without a backbone_config",
        ),
        (
            {"backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:timm/resnet18.a1_in1k"}},
            "its backbone is of timm",
        ),
    ):
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
        with pytest.raises(SpadeError, match=rf"config\.json: {told}"):
            PretrainedSegmenter(str(tmp_path), CPU)


def test_refusals_name_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SpadeError, match=re.escape("hf download facebook/mask2former-swin-tiny-coco-panoptic")):
        resolve_segmenter("facebook/mask2former-swin-tiny-coco-panoptic")
    with pytest.raises(SpadeError, match="no such segmenter"):
        resolve_segmenter("nowhere")
    with pytest.raises(SpadeError, match=r"config\.json"):
        resolve_segmenter(str(tmp_path))
    folder = mask2former(tmp_path / "whole")
    (weights,) = folder.glob("*.safetensors")
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(SpadeError, match="cannot be loaded"):
        PretrainedSegmenter(str(folder), CPU)
    weights.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(SpadeError, match="no weights in safetensors"):
        PretrainedSegmenter(str(folder), CPU)


def test_weights_that_lack_a_part_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = mask2former(tmp_path)
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    del tensors["class_predictor.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(SpadeError, match="lack class_predictor"):
        PretrainedSegmenter(str(folder), CPU)


@pytest.mark.parametrize("kind", ["bert", "detr", "eomt_dinov3"])
def test_another_kind_of_model_is_refused(tmp_path, kind):
    folder = mask2former(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"model_type": kind}), "utf-8")
    with pytest.raises(SpadeError, match=f"is a model of type '{kind}'; `segmenter` takes mask2former"):
        PretrainedSegmenter(str(folder), CPU)


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("config.json", {"backbone_config": "x"}, "cannot be loaded"),
        ("config.json", {"num_attention_heads": 0}, "cannot be loaded"),
        ("config.json", {"id2label": ["a"]}, "cannot be loaded"),
        ("preprocessor_config.json", None, "cannot be loaded"),
        (
            "preprocessor_config.json",
            {"image_processor_type": "CLIPImageProcessor"},
            "are prepared by CLIPImageProcessor.*, which no segmenter has",
        ),
    ],
)
def test_hostile_configurations_are_one_sentence(tmp_path, file, change, told):
    path = mask2former(tmp_path) / file
    facts = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps([] if change is None else facts | change), "utf-8")
    with pytest.raises(SpadeError, match=told):
        PretrainedSegmenter(str(tmp_path), CPU)
