import copy

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch.nn.functional import scaled_dot_product_attention

from spade.diffusion.cpu_attention import CpuAttention, attend, make_fast


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_in_half_precision_only(dtype):
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(4, 8, 3, padding=1).to(dtype)
    image = torch.randn(2, 4, 6, 6, dtype=dtype)
    before = convolution(image)
    make_fast(convolution)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) == (dtype != torch.float32)
    assert torch.allclose(convolution(image).float(), before.float(), atol=0.02)


@pytest.mark.parametrize(("groups", "length", "block"), [(3, 50, 1 << 22), (3, 50, 400), (20, 50, 3000), (1, 1, 1)])
def test_blocks_are_the_same_attention_however_they_are_cut(groups, length, block):
    torch.manual_seed(0)
    query, key, value = torch.randn(groups, length, 8), torch.randn(groups, 13, 8), torch.randn(groups, 13, 8)
    whole = scaled_dot_product_attention(query, key, value)
    assert torch.allclose(attend(query, (key * 8**-0.5).transpose(1, 2), value, block), whole, atol=1e-6)


def test_a_unet_in_bfloat16_predicts_as_with_torchs_own_attention(backbone):
    unet = copy.deepcopy(backbone.unet).to(torch.bfloat16)
    latents = torch.randn(2, unet.config.in_channels, 16, 16, dtype=torch.bfloat16)
    context = torch.randn(2, 9, unet.config.cross_attention_dim, dtype=torch.bfloat16)
    make_fast(unet)
    assert all(isinstance(p, CpuAttention) for p in unet.attn_processors.values())
    with torch.no_grad():
        ours = unet(latents, 101, encoder_hidden_states=context).sample
        unet.set_attn_processor(AttnProcessor2_0())
        theirs = unet(latents, 101, encoder_hidden_states=context).sample
        exact = backbone.unet(latents.float(), 101, encoder_hidden_states=context.float()).sample
    error, rounding = ours.float() - exact, theirs.float() - exact
    assert error.norm() < 1.2 * rounding.norm()  # no worse than torch's own in the same number format
    assert rounding.norm() < 0.1 * exact.norm()
