from __future__ import annotations

import copy

import pytest
import torch

from spade.diffusion.attention import combine, layer_strides, normalise, reading


def inputs(backbone, size=(16, 16), length=9):
    torch.manual_seed(0)
    return torch.randn(2, backbone.unet.config.in_channels, *size), torch.randn(2, length, backbone.context_dim)


def test_only_cross_attention_and_its_strides(backbone):
    strides = layer_strides(backbone.unet)
    assert all(".attn2." in name for name in strides)
    assert {s for n, s in strides.items() if n.startswith(("down_blocks.0", "up_blocks.2"))} == {1}
    assert {s for n, s in strides.items() if n.startswith(("down_blocks.1", "up_blocks.1"))} == {2}
    assert {s for n, s in strides.items() if n.startswith("mid_block")} == {4}


def test_the_output_is_the_same_with_and_without_reading(backbone):
    latents, context = inputs(backbone)
    before = backbone.unet.attn_processors
    with torch.no_grad():
        plain = backbone.unet(latents, 51, encoder_hidden_states=context).sample
        with reading(backbone.unet, (1, 2, 4)) as store:
            read = backbone.unet(latents, 51, encoder_hidden_states=context).sample
    assert torch.allclose(plain, read, atol=1e-5)
    assert store.keys() == layer_strides(backbone.unet).keys()
    after = backbone.unet.attn_processors
    assert all(after[name] is before[name] for name in before)


def test_processors_come_back_after_an_error(backbone):
    before = backbone.unet.attn_processors
    with pytest.raises(RuntimeError, match="stop"), reading(backbone.unet, (1,)):
        raise RuntimeError("stop")
    assert all(backbone.unet.attn_processors[name] is before[name] for name in before)


@pytest.mark.parametrize("place", ["down_blocks.1.attentions.0", "mid_block.attentions.0", "up_blocks.2.attentions.0"])
def test_maps_equal_an_eager_softmax(backbone, place):
    latents, context = inputs(backbone)
    name = f"{place}.transformer_blocks.0.attn2"
    layer = backbone.unet.get_submodule(name)
    seen = {}
    handle = layer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.update(x=args[0], **kwargs), with_kwargs=True
    )
    with torch.no_grad(), reading(backbone.unet, (1, 2, 4)) as store:
        backbone.unet(latents, 51, encoder_hidden_states=context)
    handle.remove()
    x, heads = seen["x"], layer.heads
    q = layer.to_q(x).unflatten(-1, (heads, -1))
    k = layer.to_k(context).unflatten(-1, (heads, -1))
    reference = torch.einsum("bqhd,bkhd->bhqk", q, k).mul(q.shape[-1] ** -0.5).softmax(-1).mean(1)
    assert torch.allclose(store[f"{name}.processor"], reference, atol=1e-5)
    assert torch.allclose(store[f"{name}.processor"].sum(-1), torch.ones(()), atol=1e-5)


def test_what_is_read_in_half_precision_is_a_distribution(backbone):
    """Probabilities and their mean over heads are computed in float32: in bfloat16 a row sums to 1 within 1 % only."""
    unet = copy.deepcopy(backbone.unet).to(torch.bfloat16)
    latents, context = (value.bfloat16() for value in inputs(backbone))
    with torch.no_grad(), reading(unet, (1, 2, 4)) as store:
        unet(latents, 51, encoder_hidden_states=context)
    for maps in store.values():
        assert maps.dtype == torch.float32
        assert torch.allclose(maps.sum(-1), torch.ones(()), atol=1e-5)


def test_combine_keeps_the_grid_of_an_image_that_is_not_square(backbone):
    latents, context = inputs(backbone, size=(16, 24))
    with torch.no_grad(), reading(backbone.unet, (1, 2)) as store:
        backbone.unet(latents, 51, encoder_hidden_states=context)
    maps = combine(store, backbone.unet, (16, 24))
    assert maps.shape == (2, 9, 16, 24)
    assert torch.allclose(maps.sum(1), torch.ones(()), atol=1e-4), "tokens share the attention of each cell"
    only = {name: value for name, value in store.items() if name.startswith("up_blocks.2")}
    by_hand = torch.stack([value.transpose(1, 2).reshape(2, 9, 16, 24) for value in only.values()]).mean(0)
    assert torch.equal(combine(only, backbone.unet, (16, 24)), by_hand)


def test_gradients_flow_through_the_maps(backbone):
    latents, context = inputs(backbone)
    context.requires_grad_(True)
    with reading(backbone.unet, (2,)) as store:
        backbone.unet(latents, 51, encoder_hidden_states=context)
    combine(store, backbone.unet, (16, 16))[:, 3].sum().backward()
    assert context.grad.abs().sum() > 0


def test_normalise():
    maps = normalise(torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]))
    assert torch.allclose(maps[0], torch.tensor([[0.25, 0.75], [0.0, 0.0]]))
    assert torch.equal(maps[1], torch.zeros(2, 2))
