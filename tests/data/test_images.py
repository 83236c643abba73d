from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spade.core.errors import SpadeError
from spade.data.images import model_size, read_image, to_array


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (6, 4))
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "RGB"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (5, 3)).save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    assert read_image(next(tmp_path.iterdir())).mode == "RGB"


def test_transparent_pixels_turn_white_and_deep_grey_keeps_its_scale(tmp_path):
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((2, 2), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert read_image(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)


def test_bad_images_are_one_sentence(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:900])
    for name, message in (
        ("broken.jpg", "cannot be decoded"),
        ("cut.png", "cannot be decoded"),
        ("none.png", "no such image"),
    ):
        with pytest.raises(SpadeError, match=message):
            read_image(tmp_path / name)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_model_size(width, height):
    w, h = model_size(width, height, 128, 32)
    assert w % 32 == h % 32 == 0
    assert min(w, h) >= 32
    assert max(w, h) <= 128 * 4
    assert (w >= h) == (width >= height) or w == h


def test_model_size_by_hand():
    assert model_size(128, 128, 128, 32) == (128, 128)
    assert model_size(640, 480, 512, 64) == (704, 512)  # 682.7 rounds to 11 x 64
    assert model_size(100, 9000, 128, 32) == (128, 512)


def test_to_array_range_and_layout():
    array = to_array(Image.new("RGB", (8, 4), (255, 0, 128)), (8, 4))
    assert array.shape == (3, 4, 8)
    assert array[:, 0, 0] == pytest.approx([1, -1, 128 / 127.5 - 1], abs=1e-6)
