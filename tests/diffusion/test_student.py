from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.hub import fingerprint
from spade.diffusion import lora
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import TINY, backbone_defaults, embedded_model, resolve_backbone
from spade.diffusion.features import decoder_features, encode_with_features, feature_channels, feature_strides
from spade.diffusion.image_adapter import ImageAdapter, student_context
from spade.diffusion.student import Kind, load_student, new_student
from spade.structures.vocabulary import Label, Vocabulary


def test_context_order():
    begin, labels, image = torch.zeros(1, 3), torch.arange(6.0).view(2, 3), torch.full((2, 4, 3), 9.0)
    context = student_context(begin, labels, image)
    assert context.shape == (2, 7, 3)
    assert torch.equal(context[1, 1:3], labels)
    assert torch.equal(context[:, 3:], image)


def test_label_tokens_do_not_depend_on_the_company(backbone):
    dog, sky = Label("dog", True), Label("sky-other-merged", False)
    both = backbone.label_tokens([dog, sky])
    assert torch.allclose(both[0], backbone.label_tokens([dog])[0], atol=1e-5)
    assert torch.allclose(both[1], backbone.label_tokens([Label("sky", False)])[0], atol=1e-5)
    pair = backbone.label_tokens([Label("dog", True, ("puppy",))])[0]
    assert torch.allclose(pair, backbone.label_tokens([dog, Label("puppy", True)]).mean(0), atol=1e-5)


def test_a_label_without_a_word_is_one_sentence(backbone):
    with pytest.raises(SpadeError, match="has no word that the text encoder knows"):
        backbone.label_tokens([Label("  ", True)])


def test_feature_sizes_of_an_image_that_is_not_square(backbone):
    strides, channels = feature_strides(backbone), feature_channels(backbone)
    assert strides == (2, 4, 8, 16, 32)
    pixels = torch.rand(1, 3, 128, 192) * 2 - 1
    latents, fine = encode_with_features(backbone, pixels)
    assert torch.allclose(latents, backbone.encode_image(pixels))
    coarse = decoder_features(backbone, latents, backbone.begin_token()[None], 51)
    features = fine | coarse
    for stride, width in zip(strides, channels, strict=True):
        assert features[stride].shape == (1, width, 128 // stride, 192 // stride)


def test_an_adapter_comes_back_from_disk(backbone, clip, tmp_path):
    torch.manual_seed(0)
    lora.attach(backbone.unet, 2, 2)
    try:
        student = new_student(backbone, clip, Kind(51, (2,)))
        student.save(tmp_path)
        lora.remove(backbone.unet)
        again = load_student(backbone, clip, tmp_path)
        embedding = clip.embed_images([Image.new("RGB", (128, 128), "red")])
        assert torch.equal(again.adapter(embedding), student.adapter(embedding))
        assert again.kind == Kind(51, (2,))
    finally:
        lora.remove(backbone.unet)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "x"}, "calibrated on another backbone"),
        ({"clip": "x"}, "calibrated with another CLIP model"),
        ({"format": 9}, "adapter format 9 is unknown"),
        ({"timestep": []}, r"adapter\.json: describes no adapter \(a field is of another type"),
        ({"timestep": float("inf")}, r"adapter\.json: describes no adapter \(a number is too large"),
        ({"strides": 2}, r"adapter\.json: describes no adapter \(a field is of another type"),
        ({"tokens": 10**12}, r"adapter\.json: describes no adapter \(1000000000000 tokens"),
    ],
)
def test_an_adapter_of_another_model_is_refused(backbone, clip, tmp_path, change, message):
    facts = json.loads((embedded_model() / "adapter" / "adapter.json").read_text())
    (tmp_path / "adapter.json").write_text(json.dumps(facts | change))
    with pytest.raises(SpadeError, match=message):
        load_student(backbone, clip, tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", "null"])
def test_what_is_no_description_of_an_adapter_is_one_sentence(backbone, clip, tmp_path, content):
    (tmp_path / "adapter.json").write_text(content)
    with pytest.raises(SpadeError, match=r"adapter\.json: describes no adapter"):
        load_student(backbone, clip, tmp_path)


def test_adapter_shapes():
    assert ImageAdapter(8, 6, 3)(torch.randn(2, 8)).shape == (2, 3, 6)


def test_backbone_names(tmp_path):
    with pytest.raises(SpadeError, match="no such backbone; use tiny, sd15, sd21, a directory"):
        resolve_backbone("nonsense")
    with pytest.raises(SpadeError, match="has no folder vae/"):
        resolve_backbone(str(tmp_path))
    with pytest.raises(
        SpadeError, match=r"could not be fetched .* hf download owner/none, or name a directory with `backbone`"
    ):
        resolve_backbone("owner/none")
    assert backbone_defaults(resolve_backbone("tiny")).clip == "tiny"


def test_a_broken_weight_file_is_one_sentence(tmp_path):
    import shutil

    shutil.copytree(embedded_model() / "backbone", tmp_path / "b")
    assert fingerprint(tmp_path / "b") == fingerprint(embedded_model() / "backbone")
    shutil.copytree(embedded_model() / "backbone", tmp_path / "c")
    (tmp_path / "c" / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"rubbish")
    assert fingerprint(tmp_path / "c") != fingerprint(tmp_path / "b")
    with pytest.raises(SpadeError, match="this backbone cannot be loaded"):
        load_backbone(str(tmp_path / "c"), torch.device("cpu"), torch.float32)


def test_a_directory_of_the_true_architecture_loads(tmp_path):
    """Stable Diffusion 1.x's own shape, four levels and stock block types, with few channels and random weights."""
    import shutil

    from diffusers import AutoencoderKL, UNet2DConditionModel

    source = embedded_model() / "backbone"
    for part in ("text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(source / part, tmp_path / part)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        norm_num_groups=4,
        layers_per_block=2,
    ).save_pretrained(tmp_path / "vae")
    UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 32, 64, 64),
        attention_head_dim=8,
        cross_attention_dim=128,
        layers_per_block=2,
    ).save_pretrained(tmp_path / "unet")
    backbone: Backbone = load_backbone(str(tmp_path), torch.device("cpu"), torch.float32)
    assert (backbone.image_size, backbone.multiple) == (512, 64)
    assert feature_strides(backbone) == (4, 8, 16, 32)
    latents, fine = encode_with_features(backbone, torch.rand(1, 3, 128, 192))
    coarse = decoder_features(backbone, latents, backbone.begin_token()[None], 1)
    shapes = {stride: tuple(f.shape[1:]) for stride, f in (fine | coarse).items()}
    widths = feature_channels(backbone)
    assert shapes == {s: (w, 128 // s, 192 // s) for s, w in zip(feature_strides(backbone), widths, strict=True)}
    large = backbone_defaults(tmp_path).inversion
    assert (large.steps, large.read_at) == (TINY.inversion.steps, TINY.inversion.read_at), (
        "one combination was measured"
    )
    assert not backbone_defaults(tmp_path).is_tiny


def test_label_context_counts_the_whole_list(model):
    vocabulary = Vocabulary.of(("dog", "cat"), ("sky",), ("on",))
    labels = model.student.label_context(vocabulary)
    assert labels.tokens.shape == (4, model.student.backbone.context_dim)
