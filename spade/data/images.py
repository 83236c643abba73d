"""Images: read upright, resized for a model, turned into arrays."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from spade.core.errors import SpadeError
from spade.core.file_kinds import is_json, what_it_is
from spade.core.paths import user_path
from spade.data.deep_images import deep_values, scaled_rgb

# Pillow knows their names and cannot open them by itself, or runs another program to do so.
_FOREIGN = {"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MIC", "MPEG", "WMF"}
KINDS = "give a path, a PIL image, (H, W, 3) uint8 of numpy, (3, H, W) of torch, bytes or an open file"


@cache
def formats() -> tuple[str, ...]:
    """Names of the formats that are read, as Pillow has them."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _FOREIGN)


@cache
def extensions() -> frozenset[str]:
    """Endings, in small letters, of files that are images."""
    known = set(formats())
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in known)


def read_image(path: Path) -> Image.Image:
    """Read an image as upright RGB (its EXIF orientation applied). Raises SpadeError naming the file."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SpadeError(f"{path}: no such image; check the name.") from None
    except (OSError, ValueError) as error:  # a name with a NUL byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SpadeError(f"{path}: this image cannot be read ({reason}); mend that or leave it out.") from None
    return _decoded(io.BytesIO(content), str(path))


def _decoded(file: Any, name: str) -> Image.Image:
    """An open file as upright RGB."""
    try:
        if (deep := deep_values(file, name)) is not None:
            return scaled_rgb(deep[0], name, deep[1])
        file.seek(0)
        with Image.open(file, formats=formats()) as image:
            return upright_rgb(image, name)
    except SpadeError:
        raise
    except Image.DecompressionBombError:
        raise SpadeError(f"{name}: this image has too many pixels to be opened safely; scale it down first.") from None
    except Exception:  # a damaged file makes Pillow's decoders raise anything
        file.seek(0)
        head = file.read(100)
        kind = ("json", "name the image that belongs here") if is_json(head) else what_it_is(head)
        if kind is not None and not kind[0].endswith("image"):
            raise SpadeError(f"{name}: is {kind[0]}, and no image that can be read; {kind[1]}.") from None
        raise SpadeError(f"{name}: this image cannot be decoded; open and save it anew as png or jpeg.") from None


def open_image(source: Any) -> Image.Image:
    """An image as upright RGB, from whatever holds one: a path, a PIL image, (H, W, 3) uint8 of numpy, (3, H, W) of
    torch, uint8 or float in [0, 1], the bytes of a file, or an open file. Raises SpadeError for anything else.
    """
    if isinstance(source, (str, Path)):
        return read_image(user_path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decoded(io.BytesIO(bytes(source)), "bytes")
    if hasattr(source, "read") and hasattr(source, "seek"):
        return _decoded(source, str(getattr(source, "name", "file")))
    if isinstance(source, Image.Image):
        return upright_rgb(source)
    if type(source).__module__.split(".")[0] == "torch" and hasattr(source, "dim"):
        source = _from_torch(source)
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
            raise SpadeError(
                f"an array of shape {source.shape} and type {source.dtype} is no image; give (H, W, 3) uint8."
            )
        return Image.fromarray(source)
    raise SpadeError(f"{type(source).__name__} is no image; {KINDS}.")


def _from_torch(tensor: Any) -> np.ndarray:
    """A tensor (3, H, W), uint8 or float in [0, 1], as (H, W, 3) uint8."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.dim() != 3 or tensor.shape[0] != 3 or not tensor.numel():
        shape = tuple(tensor.shape)
        raise SpadeError(
            f"a tensor of shape {shape} and type {kind} is no image; give (3, H, W) uint8, or float in [0, 1]."
        )
    array = tensor.detach().cpu().float().numpy()
    if kind != "uint8":
        if not tensor.is_floating_point() or not (array.min() >= 0 and array.max() <= 1):
            raise SpadeError(
                f"a tensor of type {kind} with values from {array.min():g} to {array.max():g} is no image; give uint8, "
                "or float in [0, 1]."
            )
        array = array * 255
    return np.rint(array).astype(np.uint8).transpose(1, 2, 0)


def upright_rgb(image: Image.Image, name: str = "an image") -> Image.Image:
    """A PIL image as upright RGB on white; more than 8 bits a channel are scaled, and a warning says how."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return scaled_rgb(np.asarray(upright), name)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
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
