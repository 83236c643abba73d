"""Images: read upright, resized for a model, turned into arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spade.core.errors import SpadeError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def read_image(path: Path) -> Image.Image:
    """Read an image as upright RGB (its EXIF orientation applied). Raises SpadeError naming the file."""
    try:
        with Image.open(path) as image:
            return upright_rgb(image)
    except FileNotFoundError:
        raise SpadeError(f"{path}: no such image; check the name.") from None
    except Image.DecompressionBombError:
        raise SpadeError(f"{path}: this image has too many pixels to be opened safely; scale it down first.") from None
    except (OSError, ValueError, SyntaxError, EOFError):
        raise SpadeError(f"{path}: this image cannot be decoded; open and save it anew as png or jpeg.") from None


def upright_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    """A PIL image, or an array (H, W, 3) uint8, as upright RGB on white. Raises SpadeError for another array."""
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SpadeError(
                f"an array of shape {image.shape} and type {image.dtype} is no image; give (H, W, 3) uint8."
            )
        return Image.fromarray(image)
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    elif upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("RGB")


def model_size(width: int, height: int, shorter: int, multiple: int, longest_ratio: float = 4.0) -> tuple[int, int]:
    """Size (width, height) at which a model sees an image.

    The shorter side becomes about ``shorter`` and both sides multiples of ``multiple``, so the aspect ratio is
    kept up to rounding; beyond ``longest_ratio`` the image is squeezed.
    """
    scale = shorter / min(width, height)

    def rounded(side: int) -> int:
        wanted = min(side * scale, shorter * longest_ratio)
        return max(multiple, int(wanted / multiple + 0.5) * multiple)

    return rounded(width), rounded(height)


def to_array(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Resize to ``size`` (width, height) and scale to a float32 array (3, H, W) in [-1, 1]."""
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)
    return pixels / 127.5 - 1.0
