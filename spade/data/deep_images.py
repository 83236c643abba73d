"""Images of more than 8 bits a channel: their values as they are, and scaled to 8 bits by what they hold.

Pillow reads grey ones and cuts colours to their upper 8 bits in silence; a picture of 12 bits in 16 would be black.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.quiet import TIFFFILE

_COLOURS, _GREY_ALPHA = (2, 6), 4  # of PNG's colour types
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}  # EXIF's orientations


def deep_values(file: Any, name: str) -> tuple[np.ndarray, int] | None:
    """An open file's values (H, W) or (H, W, C) where they have more than 8 bits, and its EXIF orientation; None for
    any other file. Raises SpadeError for grey with alpha at 16 bits, which Pillow cannot unpack.
    """
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > 25 and head[24] == 16:
        if head[25] == _GREY_ALPHA:
            raise SpadeError(f"{name}: is grey with alpha at 16 bits, which is not read; save it as grey, or as RGBA.")
        if head[25] in _COLOURS:
            return _png(file.read()), 1
    return _tiff(file) if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else None


def _png(content: bytes) -> np.ndarray:
    """Values of a png of 16 bits a channel. Pillow unpacks the upper byte of each; told that the bytes are the other
    way round, the lower.
    """
    parts = []
    for order in ("16B", "16L"):
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.tile = [tile._replace(args=f"{image.mode};{order}") for tile in image.tile]
            parts.append(np.asarray(image).astype(np.uint16))
    return parts[0] << 8 | parts[1]


def _tiff(file: Any) -> tuple[np.ndarray, int] | None:
    import tifffile

    with TIFFFILE, tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        if not isinstance(page, tifffile.TiffPage) or page.dtype is None or page.dtype.kind not in "iuf":
            return None
        if page.dtype.itemsize == 1:
            return None
        values = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u":
            values = np.array(_range(values, values.dtype)[1], values.dtype) - values
        tag = page.tags.get("Orientation")
        turn = 1 if tag is None else int(tag.value)
    if values.ndim == 3 and values.shape[0] in (3, 4) and values.shape[2] not in (1, 2, 3, 4):
        values = values.transpose(1, 2, 0)  # planes after one another
    return values, turn


def scaled_rgb(values: np.ndarray, name: str, orientation: int = 1) -> Image.Image:
    """Values (H, W) or (H, W, C), grey or colours with or without alpha, as upright RGB on white; a warning says how.

    The range is what the image holds: whole numbers from 0 to the next power of two, floats in [0, 1] to 1, up to 255
    to 255; anything else from its least to its greatest value. Raises SpadeError where there is no number.
    """
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or not values.size:
        raise SpadeError(f"{name}: has values of shape {values.shape}, which are no image; give grey or RGB.")
    has_alpha = values.shape[2] in (2, 4)
    colours = values[..., : values.shape[2] - has_alpha]
    finite = np.isfinite(colours)
    if not finite.any():
        raise SpadeError(f"{name}: holds no number, only NaN; save it anew as png or jpeg.")
    known = np.where(finite, colours, 0).astype(np.float64)
    low, high = _range(known[finite], values.dtype)
    warnings.warn(
        f"{name}: {values.dtype} pixels are scaled from {low:g} .. {high:g} to 8 bits.", SpadeWarning, stacklevel=2
    )
    shades = ((known - low) * (255 / ((high - low) or 1.0))).clip(0, 255)
    if has_alpha:
        alpha = np.nan_to_num(values[..., -1:].astype(np.float64), posinf=0.0, neginf=0.0)
        share = (alpha / (_range(alpha, values.dtype)[1] or 1.0)).clip(0, 1)
        shades = shades * share + 255 * (1 - share)
    whole = np.rint(shades).astype(np.uint8)
    image = Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole).convert("RGB")
    for turn in _TURNS.get(orientation, ()):
        image = image.transpose(turn)
    return image


def _range(values: np.ndarray, kind: np.dtype[Any]) -> tuple[float, float]:
    """The least and the greatest value that such an image may hold, by those that it does."""
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return low, high
    if kind.kind in "iu":
        return 0.0, 2.0 ** max(8, int(high).bit_length()) - 1
    return (0.0, 1.0) if high <= 1 else (0.0, 255.0) if high <= 255 else (low, high)
