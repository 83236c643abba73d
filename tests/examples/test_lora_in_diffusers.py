from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spade.diffusion import lora
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.student import load_student

SCRIPT = Path(__file__).parents[2] / "examples" / "lora_in_diffusers.py"


def test_plain_diffusers_predicts_what_the_student_predicts(pipeline, clip):
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import lora_in_diffusers
    finally:
        sys.path.pop(0)
    adapter = pipeline["calibrate"].path / "adapter"
    plain = lora_in_diffusers.load(str(embedded_model() / "backbone"), str(adapter)).float()
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    torch.manual_seed(0)
    inputs = torch.randn(1, backbone.unet.config.in_channels, 16, 16), 51, torch.randn(1, 6, backbone.context_dim)
    with torch.no_grad():
        raw = backbone.unet(*inputs).sample
        load_student(backbone, clip, adapter)
        ours, theirs = backbone.unet(*inputs).sample, plain(*inputs).sample
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, raw, atol=1e-3)
    lora.remove(backbone.unet)


@pytest.mark.slow
def test_the_script_says_what_it_loaded(pipeline):
    adapter = pipeline["calibrate"].path / "adapter"
    done = subprocess.run(
        [sys.executable, SCRIPT, embedded_model() / "backbone", adapter], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("LoRA of rank 8 and alpha 8 on ")
    assert subprocess.run([sys.executable, SCRIPT], capture_output=True, check=False).returncode == 1
