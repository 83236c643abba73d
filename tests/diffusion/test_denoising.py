"""A caption fits a picture the better, the better the UNet denoises the picture under it."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from spade.diffusion.denoising import _cells, caption_scores, denoising_errors
from spade.diffusion.prompts import relation_text
from spade.world.annotation import make_sample


def test_cells_that_a_box_touches():
    assert _cells((0, 0, 1, 1), 16, 8) == (slice(0, 8), slice(0, 16))
    assert _cells((0.26, 0.5, 0.49, 0.51), 4, 8) == (slice(4, 5), slice(1, 2))
    assert _cells((1, 1, 1, 1), 4, 8) == (slice(7, 8), slice(3, 4)), "never none"


def test_scores_by_hand():
    errors = torch.tensor([[1.0, 2.0, 3.0], [30.0, 20.0, 10.0]])
    assert caption_scores(errors).tolist() == pytest.approx([0.0, 0.0, 0.0]), "both timesteps count alike"
    assert caption_scores(errors[:1]).argmax() == 0
    assert caption_scores(torch.ones(2, 3)).tolist() == [0, 0, 0]


def test_what_is_there_is_denoised_better_than_what_is_not(model):
    """What is said of a scene against what is said of others, over a few scenes; and twice the same with one seed."""
    right = 0
    for number in range(12):
        samples = [make_sample(31, number + 40 * i) for i in range(4)]
        latents = model.student.encode(Image.fromarray(samples[0].image)).latents
        captions = [relation_text(sample.triples[:3]) for sample in samples]
        errors = denoising_errors(model.student.backbone, latents, captions, (0, 0, 1, 1), (101, 301, 501, 701))
        assert errors.shape == (4, 4)
        right += int(caption_scores(errors).argmax() == 0)
    assert right >= 6, "chance is three"
    again = denoising_errors(model.student.backbone, latents, captions, (0, 0, 1, 1), (101, 301, 501, 701))
    assert torch.equal(errors, again)
