from __future__ import annotations

import pytest
import torch

from spade.core.errors import SpadeError
from spade.diffusion import lora


@pytest.fixture
def unet(backbone):
    yield backbone.unet
    lora.remove(backbone.unet)


def run(unet):
    torch.manual_seed(0)
    latents, context = (
        torch.randn(1, unet.config.in_channels, 16, 16),
        torch.randn(1, 6, unet.config.cross_attention_dim),
    )
    with torch.no_grad():
        return unet(latents, 51, encoder_hidden_states=context).sample


def test_only_cross_attention_learns_and_saving_keeps_the_output(unet, tmp_path):
    plain = run(unet)
    parameters = lora.attach(unet, rank=3, alpha=6)
    assert parameters
    assert all(".attn2." in name for name in parameters)
    assert {name for name, p in unet.named_parameters() if p.requires_grad} == set(parameters)
    assert torch.allclose(run(unet), plain, atol=1e-6), "a fresh LoRA changes nothing"
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.05 * torch.randn_like(parameter)
    changed = run(unet)
    assert not torch.allclose(changed, plain, atol=1e-3)
    lora.save(unet, tmp_path)
    lora.remove(unet)
    assert torch.allclose(run(unet), plain, atol=1e-6)
    lora.load(unet, tmp_path)
    assert torch.allclose(run(unet), changed, atol=1e-5), "rank and alpha came back"
    assert not any(p.requires_grad for p in unet.parameters())


def test_bad_ranks_and_files(unet, tmp_path):
    with pytest.raises(SpadeError, match="`rank=0`"):
        lora.attach(unet, 0, 1)
    with pytest.raises(SpadeError, match="no such adapter; make one with: spade calibrate"):
        lora.load(unet, tmp_path)
    (tmp_path / lora.WEIGHTS).write_bytes(b"")
    with pytest.raises(SpadeError, match="calibrate on it anew"):
        lora.load(unet, tmp_path)
