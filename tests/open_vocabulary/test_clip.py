from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from spade.core.errors import SpadeError
from spade.diffusion.backbone_files import embedded_model
from spade.open_vocabulary.clip import OBJECT_TEMPLATES, OpenClip, load_clip
from spade.open_vocabulary.clip_files import resolve_clip
from spade.open_vocabulary.text_classifier import fuse
from spade.structures.vocabulary import Label


def test_embeddings_have_unit_length_and_templates_are_averaged(clip):
    labels = clip.embed_labels([Label("dog", True), Label("person", True, ("man",))])
    assert torch.allclose(labels.norm(dim=1), torch.ones(2), atol=1e-5)
    by_hand = clip.embed_texts([t.format("dog") for t in OBJECT_TEMPLATES]).mean(0)
    assert torch.allclose(labels[0], by_hand / by_hand.norm(), atol=1e-5)
    images = clip.embed_images([Image.new("RGB", (30, 50), "blue")])
    assert images.shape == (1, clip.dim)
    assert torch.allclose(images.norm(dim=1), torch.ones(1), atol=1e-5)


def test_it_knows_the_world_better_than_chance(clip):
    """16 held-out scenes against their captions: chance is 1/16."""
    import numpy as np

    from spade.world.annotation import make_sample
    from spade.world.captions import web_caption

    samples = [make_sample(77, i) for i in range(128)]
    images = clip.embed_images([Image.fromarray(s.image) for s in samples])
    texts = clip.embed_texts(
        [web_caption(s.triples, s.labels, np.random.default_rng(i)) for i, s in enumerate(samples)]
    )
    hits = [
        (images[i : i + 16] @ texts[i : i + 16].T).argmax(1).eq(torch.arange(16)).float().mean()
        for i in range(0, 128, 16)
    ]
    assert float(torch.stack(hits).mean()) > 0.25


def test_what_is_no_model_is_refused_and_never_random(tmp_path):
    with pytest.raises(SpadeError, match="is no OpenCLIP model"):
        resolve_clip(str(tmp_path))
    shutil.copytree(embedded_model() / "clip", tmp_path / "clip")
    (tmp_path / "clip" / "open_clip_model.safetensors").unlink()
    with pytest.raises(SpadeError, match="is no OpenCLIP model"):
        load_clip(str(tmp_path / "clip"), torch.device("cpu"))
    (tmp_path / "clip" / "open_clip_model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match="cannot be loaded"):
        load_clip(str(tmp_path / "clip"), torch.device("cpu"))
    with pytest.raises(SpadeError, match=r"hf-hub:owner/none: .* could not be fetched .* hf download owner/none"):
        resolve_clip("hf-hub:owner/none")


def test_weights_of_another_shape_are_refused(tmp_path):
    shutil.copytree(embedded_model() / "clip", tmp_path / "clip")
    config = json.loads((tmp_path / "clip" / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 2
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(SpadeError, match="cannot be loaded"):
        load_clip(str(tmp_path / "clip"), torch.device("cpu"))


def test_cells_of_the_packaged_model(clip):
    image = Image.new("RGB", (128, 128), "green")
    image.paste((200, 30, 30), (0, 0, 64, 128))
    cells = clip.embed_cells(image)
    assert cells.shape == (clip.dim, 4, 4)
    assert torch.allclose(cells.norm(dim=0), torch.ones(4, 4), atol=1e-5)
    left, right = cells[:, :, 0].mean(1), cells[:, :, 3].mean(1)
    assert not torch.allclose(left, right, atol=0.02)


def test_cells_of_a_vision_transformer():
    import open_clip

    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.model.CLIP(24, vision, text).eval()
    clip = OpenClip("x", model, None, {"size": 32, "mean": (0.0,) * 3, "std": (1.0,) * 3}, torch.device("cpu"))
    assert clip.embed_cells(Image.new("RGB", (40, 40), "red")).shape == (24, 4, 4)
    model.visual.transformer.resblocks[-1].attn = torch.nn.Identity()
    with pytest.raises(SpadeError, match="gives no embeddings of regions; use `fusion=1`"):
        clip.embed_cells(Image.new("RGB", (40, 40), "red"))


def test_region_scores_by_hand(clip):
    """Two cells; a mask of the first sees the first's text, one of both is between."""
    cells = torch.zeros(clip.dim, 1, 2)
    cells[0, 0, 0], cells[1, 0, 1] = 1, 1
    texts = torch.eye(clip.dim)[:2]
    masks = torch.tensor([[[1.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 1.0]]])
    scale = clip.model.logit_scale.exp()
    assert torch.allclose(
        clip.region_scores(cells, masks, texts),
        torch.stack([torch.stack([scale, 0 * scale]).softmax(0), torch.full((2,), 0.5)]),
        atol=1e-5,
    )


def test_fusion_by_hand():
    diffusion, seen = torch.tensor([0.6, 0.2]), torch.tensor([0.1, 0.9])
    mixed = torch.tensor([0.6**0.34 * 0.1**0.66, 0.2**0.34 * 0.9**0.66])
    assert torch.allclose(fuse(diffusion, seen, 0.34), 0.8 * mixed / mixed.sum(), atol=1e-6)
    assert torch.allclose(fuse(diffusion, seen, 1.0), diffusion)
    assert torch.allclose(fuse(diffusion, seen, 0.0), 0.8 * seen)


def test_whole_images_are_prepared_as_the_model_wants_them(clip):
    """OpenCLIP's own transform; most models crop, the tiny one squeezes. Cells cover the whole image for all."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 200, 3), dtype=np.uint8))
    settings = dict(open_clip.get_model_preprocess_cfg(clip.model))
    assert settings["resize_mode"] == "squash"
    squeezed = torch.from_numpy(np.asarray(wide.resize((128, 128), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1)
    by_hand = torch.nn.functional.normalize(clip.model.encode_image(squeezed.permute(2, 0, 1)[None]), dim=-1)
    assert torch.allclose(clip.embed_images([wide]), by_hand, atol=1e-6), "the tiny model answers as it did"
    cropping = OpenClip("x", clip.model, None, settings | {"resize_mode": "shortest"}, torch.device("cpu"))
    pixels = image_transform_v2(PreprocessCfg(**(settings | {"resize_mode": "shortest"})), is_train=False)(wide)
    expected = torch.nn.functional.normalize(clip.model.encode_image(pixels[None]), dim=-1)
    assert torch.allclose(cropping.embed_images([wide]), expected, atol=1e-6)
    assert not torch.allclose(clip.embed_images([wide]), expected, atol=1e-2)
    assert torch.equal(cropping.embed_cells(wide), clip.embed_cells(wide))
