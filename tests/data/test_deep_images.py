"""More than 8 bits a channel: never black or white without a word."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile

from spade.core.errors import SpadeError, SpadeWarning
from spade.data.images import read_image

RNG = np.random.default_rng(1)
RGB = RNG.integers(20, 250, (9, 14, 3)).astype(np.uint16)
GREY = RGB[..., 0]


def png(values: np.ndarray, kind: int) -> bytes:
    """A png of 16 bits a channel, without filters, by the specification."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb" if values.ndim == 3 else "minisblack", **options)
    return buffer.getvalue()


ALPHA = np.concatenate([RGB << 4, np.full((9, 14, 1), 4095, np.uint16)], axis=2)
FILES = {
    "rgb12.png": png(RGB << 4, 2),
    "rgb16.png": png(RGB << 8, 2),
    "rgba12.png": png(ALPHA, 6),
    "rgb12.tif": tiff(RGB << 4),
    "rgba12.tif": tiff(ALPHA, extrasamples=["unassalpha"]),
    "planar.tif": tiff(np.ascontiguousarray((RGB << 4).transpose(2, 0, 1)), planarconfig="separate"),
    "float.tif": tiff((RGB / 255).astype(np.float32)),
    "grey16.tif": tiff(GREY << 8),
    "u32.tif": tiff(GREY.astype(np.uint32) << 24),
    "f64.tif": tiff(GREY.astype(np.float64) / 255),
    "f16.tif": tiff((GREY / 255).astype(np.float16)),
}


@pytest.mark.parametrize("name", FILES)
def test_values_are_scaled_by_what_they_hold_and_that_is_said(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    with pytest.warns(SpadeWarning, match=f"{name}: .* pixels are scaled from 0"):
        found = np.asarray(read_image(tmp_path / name)).astype(int)
    wanted = RGB if "rgb" in name or name in ("planar.tif", "float.tif") else GREY[..., None].repeat(3, 2)
    assert np.abs(found - wanted).max() <= 1


def test_negative_and_orientation(tmp_path):
    (tmp_path / "n.tif").write_bytes(tiff(GREY.astype(np.int16) - 100))
    with pytest.warns(SpadeWarning, match=r"n\.tif: int16 pixels are scaled from -"):
        found = np.asarray(read_image(tmp_path / "n.tif"))[..., 0]
    assert (found.min(), found.max()) == (0, 255)
    (tmp_path / "t.tif").write_bytes(tiff(GREY << 4, extratags=[(274, "H", 1, 6, False)]))
    with pytest.warns(SpadeWarning):
        assert read_image(tmp_path / "t.tif").size == (9, 14)


def test_what_holds_no_number_is_one_sentence(tmp_path):
    (tmp_path / "nan.tif").write_bytes(tiff(np.full((4, 4), np.nan, np.float32)))
    with pytest.raises(SpadeError, match=r"nan\.tif: holds no number"):
        read_image(tmp_path / "nan.tif")
    (tmp_path / "la.png").write_bytes(png(ALPHA[..., :2], 4))
    with pytest.raises(SpadeError, match=r"la\.png: is grey with alpha at 16 bits, which is not read"):
        read_image(tmp_path / "la.png")
