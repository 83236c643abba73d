from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image

from spade.diffusion.backbone import embedded_model
from spade.errors import SpadeError
from spade.open_vocabulary import OBJECT_TEMPLATES, load_clip, resolve_clip
from spade.vocabulary import Label


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
    texts = clip.embed_texts([web_caption(s.triples, s.labels, np.random.default_rng(i)) for i, s in enumerate(samples)])
    hits = [(images[i : i + 16] @ texts[i : i + 16].T).argmax(1).eq(torch.arange(16)).float().mean() for i in range(0, 128, 16)]
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
