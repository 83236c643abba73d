from __future__ import annotations

import copy

import pytest
import torch

from spade.core.errors import SpadeError
from spade.diffusion.attention import cross_attention
from spade.diffusion.inversion import (
    MapPlan,
    inverse_scheduler,
    invert,
    nearest_timesteps,
    read_maps,
    sample_back,
    sampling_scheduler,
)


def test_scheduler_traps_are_avoided(backbone):
    scheduler = inverse_scheduler(backbone.schedule | {"clip_sample": True, "timestep_spacing": "linspace"}, 10)
    assert not scheduler.config.clip_sample
    assert not scheduler.config.set_alpha_to_one
    assert scheduler.timesteps.tolist() == [1, 101, 201, 301, 401, 501, 601, 701, 801, 901]


def there_and_back(config, steps):
    """The error of a round trip with one constant prediction."""
    torch.manual_seed(0)
    start, constant = torch.randn(1, 4, 8, 8), 0.1 * torch.randn(1, 4, 8, 8)
    up, down = inverse_scheduler(config, steps), sampling_scheduler(config, steps)
    sample = start
    for t in up.timesteps:
        sample = up.step(constant, t, sample).prev_sample
    assert not torch.allclose(sample, start, atol=0.1)
    for t in down.timesteps:
        sample = down.step(constant, t, sample).prev_sample
    return float((sample - start).abs().max())


def test_a_constant_epsilon_is_undone_exactly(backbone):
    assert there_and_back(backbone.schedule | {"prediction_type": "epsilon"}, 10) < 1e-4


def test_the_error_of_a_v_prediction_falls_with_the_steps(backbone):
    """A constant v is no constant noise, so steps are not undone exactly; the error is of first order in their
    length.
    """
    config = backbone.schedule | {"prediction_type": "v_prediction"}
    errors = [there_and_back(config, steps) for steps in (10, 100)]
    assert errors[1] < errors[0] / 4


@pytest.mark.slow
def test_half_precision_sees_the_same(backbone):
    """The latent is carried in float32, so that the steps' rounding does not add up."""
    torch.manual_seed(0)
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 9, backbone.context_dim)
    half = copy.deepcopy(backbone.unet).to(torch.bfloat16)
    exact = invert(backbone.unet, backbone.schedule, latents, context, 50, (501,), (1, 2))
    rough = invert(half, backbone.schedule, latents.bfloat16(), context.bfloat16(), 50, (501,), (1, 2))
    assert rough.latents.dtype == torch.float32
    assert (rough.latents - exact.latents).norm() < 0.02 * exact.latents.norm()
    for one, other in zip(rough.maps[0].flatten(1), exact.maps[0].flatten(1), strict=True):
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.98


@pytest.mark.slow
def test_a_v_prediction_round_trip_gets_better_with_more_steps(backbone):
    """The UNet's answer read as v: no denoiser, but the same function on both ways."""
    torch.manual_seed(0)
    schedule = backbone.schedule | {"prediction_type": "v_prediction"}
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 9, backbone.context_dim)
    errors = []
    for steps in (10, 40):
        noise = invert(backbone.unet, schedule, latents, context, steps, (), ()).latents
        errors.append(
            float((sample_back(backbone.unet, schedule, noise, context, steps).latents - latents).square().mean())
        )
    assert errors[1] < errors[0] / 2


@pytest.mark.slow
def test_the_round_trip_gets_better_with_more_steps(backbone):
    from spade.world.annotation import make_sample

    image = torch.from_numpy(make_sample(5, 1).image).permute(2, 0, 1)[None] / 127.5 - 1
    latents = backbone.encode_image(image)
    context, _ = backbone.encode_text(["sky is over grass"])
    errors = []
    for steps in (5, 50):
        noise = invert(backbone.unet, backbone.schedule, latents, context, steps, (), (2,)).latents
        errors.append(
            float(
                (sample_back(backbone.unet, backbone.schedule, noise, context, steps).latents - latents).square().mean()
            )
        )
    assert errors[1] < errors[0]
    assert errors[1] < 0.05, "latents have unit variance; 50 steps return them up to a twentieth of it"


def test_no_pass_runs_beyond_the_last_timestep_read(backbone):
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 5, backbone.context_dim)
    calls, touched = [], []

    def note(module, args):
        calls.append(int(args[1]))
        touched.append(any(type(layer.processor).__name__ == "_Reader" for layer in cross_attention(module).values()))

    handle = backbone.unet.register_forward_pre_hook(note)
    try:
        result = invert(backbone.unet, backbone.schedule, latents, context, 20, (60, 110), (1, 2))
    finally:
        handle.remove()
    assert result.timesteps == (51, 101)
    assert calls == [1, 51, 101]
    assert touched == [False, True, True], "attention is read at the steps that were asked for alone"
    assert result.maps.shape == (1, 5, 16, 16)


def test_maps_are_the_mean_over_the_timesteps_read(backbone):
    torch.manual_seed(1)
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 5, backbone.context_dim)
    parts = [
        invert(backbone.unet, backbone.schedule, latents, context, 20, at, (2,)).maps for at in ((1,), (101,), (1, 101))
    ]
    assert torch.allclose((parts[0] + parts[1]) / 2, parts[2], atol=1e-6)


def test_nearest_timesteps():
    assert nearest_timesteps([1, 51, 101], [0, 60, 70, 999]) == (1, 51, 101)
    assert nearest_timesteps([1, 51, 101], [26]) == (1,)


def asked(backbone, plan):
    """Which timesteps the UNet is asked at under a plan, with the maps."""
    torch.manual_seed(2)
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 5, backbone.context_dim)
    calls = []
    handle = backbone.unet.register_forward_pre_hook(lambda module, args: calls.append((int(args[1]), args[0].clone())))
    try:
        maps, reached = read_maps(backbone.unet, backbone.schedule, latents, context, torch.randn_like(latents), plan)
    finally:
        handle.remove()
    return calls, maps, reached, latents


@pytest.mark.parametrize(
    ("read", "latents", "timesteps"),
    [
        ("inversion", "inverted", [1, 101, 201]),
        ("inversion", "noised", [201]),
        ("inversion", "random", [201]),
        ("resampling", "inverted", [*range(1, 1000, 100), *range(901, 200, -100)]),
        ("resampling", "noised", [*range(901, 200, -100)]),
        ("resampling", "random", [*range(901, 200, -100)]),
    ],
)
def test_each_way_of_reading_asks_for_no_more_than_it_needs(backbone, read, latents, timesteps):
    calls, maps, reached, _ = asked(backbone, MapPlan(10, (230,), (2,), read, latents))
    assert [t for t, _ in calls] == timesteps
    assert reached == (201,)
    assert maps.shape == (1, 5, 8, 8)


def test_noised_latents_have_as_much_noise_as_inverted_ones(backbone):
    """When the UNet is called at t an inverted latent stands at the step before t."""
    share = float(sampling_scheduler(backbone.schedule, 10).alphas_cumprod[101]) ** 0.5
    calls, _, _, clean = asked(backbone, MapPlan(10, (201,), (2,), "inversion", "noised"))
    noise = (calls[0][1] - share * clean) / (1 - share**2) ** 0.5
    random, _, _, _ = asked(backbone, MapPlan(10, (201,), (2,), "inversion", "random"))
    assert torch.allclose(noise, random[0][1], atol=1e-4), "the same noise, without the image"
    first, _, _, clean = asked(backbone, MapPlan(10, (1,), (2,), "inversion", "noised"))
    assert torch.equal(first[0][1], clean)


@pytest.mark.parametrize("steps", [0, 501, 1000, 5000])
def test_too_many_steps_are_one_sentence(backbone, steps):
    with pytest.raises(SpadeError, match=rf"^`steps={steps}`: this model takes 1 to 500 steps"):
        inverse_scheduler(backbone.schedule, steps)


@pytest.mark.slow
def test_reading_while_sampling_back_sees_nearly_the_same(backbone):
    """The latents that are passed on the way back are those of the way there, up to the inversion's error."""
    from spade.world.annotation import make_sample

    images = torch.stack([torch.from_numpy(make_sample(5, i).image).permute(2, 0, 1) for i in (1, 2)]) / 127.5 - 1
    latents = backbone.encode_image(images)
    context, offsets = backbone.encode_text(["person is standing on grass"] * 2)
    words = [i for i, (first, last) in enumerate(offsets[0]) if last > first]
    there, back = (
        read_maps(backbone.unet, backbone.schedule, latents, context, latents, MapPlan(50, (101,), (2,), read))[0][
            :, words
        ].flatten(2)
        for read in ("inversion", "resampling")
    )

    def alike(one, other):
        return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(one, other, strict=True)])

    assert alike(there[0], back[0]).min() > 0.9, "word by word"
    assert alike(there[0], back[0]).mean() > alike(there[0], back[1]).mean() + 0.2, "another image's maps are others"
