from __future__ import annotations

import torch

from spade.diffusion.inversion import inverse_scheduler, invert, nearest_timesteps, sample_back, sampling_scheduler


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
    """A constant v is no constant noise, so steps are not undone exactly; the error is of first order in their length."""
    config = backbone.schedule | {"prediction_type": "v_prediction"}
    errors = [there_and_back(config, steps) for steps in (10, 100)]
    assert errors[1] < errors[0] / 4


def test_the_round_trip_gets_better_with_more_steps(backbone):
    from spade.world.annotation import make_sample

    image = torch.from_numpy(make_sample(5, 1).image).permute(2, 0, 1)[None] / 127.5 - 1
    latents = backbone.encode_image(image)
    context, _ = backbone.encode_text(["sky is over grass"])
    errors = []
    for steps in (5, 50):
        noise = invert(backbone.unet, backbone.schedule, latents, context, steps, (), (2,)).latents
        errors.append(float((sample_back(backbone.unet, backbone.schedule, noise, context, steps) - latents).square().mean()))
    assert errors[1] < errors[0]
    assert errors[1] < 0.05, "latents have unit variance; 50 steps return them up to a twentieth of it"


def test_no_pass_runs_beyond_the_last_timestep_read(backbone):
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 5, backbone.context_dim)
    calls = []
    handle = backbone.unet.register_forward_pre_hook(lambda module, args: calls.append(int(args[1])))
    try:
        result = invert(backbone.unet, backbone.schedule, latents, context, 20, (60, 110), (1, 2))
    finally:
        handle.remove()
    assert result.timesteps == (51, 101)
    assert calls == [1, 51, 101]
    assert result.maps.shape == (1, 5, 16, 16)


def test_maps_are_the_mean_over_the_timesteps_read(backbone):
    torch.manual_seed(1)
    latents, context = torch.randn(1, backbone.unet.config.in_channels, 16, 16), torch.randn(1, 5, backbone.context_dim)
    parts = [invert(backbone.unet, backbone.schedule, latents, context, 20, at, (2,)).maps for at in ((1,), (101,), (1, 101))]
    assert torch.allclose((parts[0] + parts[1]) / 2, parts[2], atol=1e-6)


def test_nearest_timesteps():
    assert nearest_timesteps([1, 51, 101], [0, 60, 70, 999]) == (1, 51, 101)
    assert nearest_timesteps([1, 51, 101], [26]) == (1,)
