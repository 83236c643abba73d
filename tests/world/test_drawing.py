from __future__ import annotations

import numpy as np
import pytest

from spade.world.drawing import draw
from spade.world.layout import Band, Scene, Thing
from spade.world.situations import sample_scene


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 128), (200, 100), (96, 256), (1024, 768)])
def test_any_size_and_shape(width, height):
    drawing = draw(sample_scene(np.random.default_rng(3), width, height))
    assert drawing.image.shape == (height, width, 3)
    assert drawing.segments.shape == (height, width)
    assert (drawing.segments > 0).all(), "the stuff covers the whole image"


def test_one_seed_one_image():
    first, second = (draw(sample_scene(np.random.default_rng([1, 5]), 128, 128)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.segments, second.segments)


def test_the_nearer_thing_hides_the_farther_and_feet_stand_where_the_layout_says():
    near, far = Thing("car", 0.5, 0.9, "standing", 1, 0.0), Thing("horse", 0.5, 0.6, "standing", 1, 0.5)
    scene = Scene(128, 128, 0.3, "sky-other-merged", False, (Band("grass-merged", 1.0),), (far, near), 1.0, 0.0, 1)
    segments = draw(scene).segments
    alone = draw(
        Scene(128, 128, 0.3, "sky-other-merged", False, (Band("grass-merged", 1.0),), (far,), 1.0, 0.0, 1)
    ).segments
    hidden, whole = segments == 1, alone == 1
    assert 0 < hidden.sum() < whole.sum()
    assert not (hidden & ~whole).any()
    feet = np.flatnonzero(whole.any(1))[-1]
    assert feet == pytest.approx(scene.ground_y(0.6) * 128, abs=2)
    height = feet - np.flatnonzero(whole.any(1))[0]
    assert height == pytest.approx(0.52 * 0.6 * 128, rel=0.25)


def test_a_driver_shows_in_the_window_and_a_rider_above_the_horse():
    car = Thing("car", 0.5, 0.9, "standing", 1, 0.0)
    driver = Thing("person", 0.52, 0.9, "sitting", 1, 0.4, scale=0.58, altitude=0.52 * 0.36 * 0.9, inside=0)
    bands = (Band("grass-merged", 1.0),)
    segments = draw(Scene(128, 128, 0.3, "sky-other-merged", False, bands, (car, driver), 1.0, 0.0, 1)).segments
    assert (segments == 2).sum() > 20
    ys, xs = np.nonzero(segments == 2)
    inside = np.nonzero(segments == 1)
    assert inside[1].min() < xs.min()
    assert xs.max() < inside[1].max()
    assert ys.max() < inside[0].max()


def test_what_is_held_is_drawn_before_the_holder():
    banana = Thing("banana", 0.6, 0.9, "resting", 1, 0.4, altitude=0.27)
    person = Thing("person", 0.5, 0.9, "standing", 1, 0.2, holds=0)
    bands = (Band("grass-merged", 1.0),)
    segments = draw(Scene(128, 128, 0.3, "sky-other-merged", False, bands, (banana, person), 1.0, 0.0, 1)).segments
    assert (segments == 1).sum() > 30


def test_what_nothing_can_hide_has_pixels():
    """The thing nearest to the viewer, where it is inside the image and in nobody's hand."""
    seen = 0
    for index in range(60):
        scene = sample_scene(np.random.default_rng([2, index]), 128, 128)
        number, nearest = max(enumerate(scene.things), key=lambda item: item[1].depth)
        if (
            nearest.inside is None
            and not scene.held(nearest)
            and 0 < scene.span(nearest)[0] < scene.span(nearest)[1] < 1
        ):
            seen += 1
            assert (draw(scene).segments == number + 1).any(), f"{nearest} of scene {index} is invisible"
    assert seen > 20
