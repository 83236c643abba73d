from __future__ import annotations

import io

import numpy as np
from PIL import Image

from spade.export.plots import curves_png, maps_png


def opened(data):
    return Image.open(io.BytesIO(data))


def test_curves_with_gaps():
    rows = [{"epoch": 0, "minus_loss": -0.3}, {"epoch": 1, "l1": 0.2}, {"epoch": 2, "l1": 0.1, "minus_loss": -0.1}]
    assert curves_png(rows) == curves_png(rows), "the same bytes"
    assert opened(curves_png(rows)).width > 300


def test_a_map_is_drawn_over_its_image():
    image = Image.new("RGB", (120, 80), "white")
    one = np.zeros((4, 6))
    one[3, 5] = 1
    plain = opened(maps_png(image, ("here",), {"dog": [np.zeros((4, 6))]}))
    marked = opened(maps_png(image, ("here",), {"dog": [one]}))
    assert np.asarray(plain).shape == np.asarray(marked).shape
    changed = np.nonzero(np.asarray(plain.convert("L")) != np.asarray(marked.convert("L")))
    assert changed[1].min() > marked.width / 2, "the map lies right of the image"


def test_hostile_labels_are_text():
    label = "$\\frac{" + "x" * 200 + "\n\x00"
    assert opened(maps_png(Image.new("RGB", (64, 64)), ("$_$",), {label: [None]})).width < 2000
