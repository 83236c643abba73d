"""The chain on Stable Diffusion 1.x's own architecture and grid sizes, with few channels and random weights."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.diffusion.backbone_files import embedded_model
from spade.steps import calibrate, evaluate, invert, predict, train_relations, world
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig
from spade.structures.scene_graph_json import read_scene_graph
from tests.configs import calibrating, inverting, relating


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Four levels, 64 x 64 latents, stock block types; text encoder and schedule are the packaged ones."""
    folder = tmp_path_factory.mktemp("true") / "backbone"
    for part in ("text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(embedded_model() / "backbone" / part, folder / part)
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    AutoencoderKL(**blocks, block_out_channels=(8, 8, 16, 16), norm_num_groups=4, layers_per_block=2).save_pretrained(
        folder / "vae"
    )
    widths = {"block_out_channels": (32, 32, 64, 64), "attention_head_dim": 8, "cross_attention_dim": 128}
    UNet2DConditionModel(sample_size=64, layers_per_block=2, **widths).save_pretrained(folder / "unet")
    return folder


@pytest.mark.slow
def test_every_step_runs_on_images_that_are_not_square(directory, tmp_path):
    run, data = Run(Workspace(tmp_path / "w")), tmp_path / "data"
    world.run(data, 5, (160, 128), 0, run)
    own = {"backbone": str(directory), "clip": str(embedded_model() / "clip")}
    inverted = invert.run(inverting(data=data, limit=2, batch_size=2, **own), run)
    row = json.loads((inverted.path / "index.jsonl").read_text().splitlines()[0])
    maps = load_file(inverted.path / row["file"])[row["tensor"]]
    assert maps.shape[1:] == (32, 40), "the finer of the grids at strides 2 and 4 of a 64 x 80 latent"
    with pytest.raises(SpadeError, match=r"^`init=embedded`: the packaged adapter belongs to the tiny backbone and"):
        calibrate.run(calibrating(rank=2, epochs=1, init="embedded"), run)
    adapted = calibrate.run(calibrating(rank=2, epochs=1), run)
    assert adapted.result.init == "scratch", "the packaged adapter belongs to the tiny backbone"
    with pytest.raises(SpadeError, match=r"^`init=embedded`: the packaged heads belong to the tiny backbone and its"):
        train_relations.run(relating(epochs=1, limit=2, init="embedded"), run)
    trained = train_relations.run(relating(epochs=1, limit=2, batch_size=2), run)
    heads = json.loads((trained.path / "model.json").read_text())["heads"]["proposer"]
    assert (heads["strides"], heads["queries"], heads["width"]) == ([4, 8, 16, 32], 100, 256)
    made = predict.run(PredictConfig(images=(str(data / "images" / "000004.png"),)), run)
    assert read_scene_graph(made.path / "000004.json").panoptic.shape == (128, 160)
    assert evaluate.run(EvalConfig(data=data), run).result.metrics["protocol"] == "openpsg"
