"""Masks of one grid as a black and white png, one below the other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.files import write_bytes

MOST_CELLS = 1 << 26  # of all masks of an image together


def write_masks(path: Path, masks: np.ndarray) -> None:
    """Write masks (Q, h, w) bool, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(masks.reshape(-1, masks.shape[-1])).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def read_masks(path: Path, count: int) -> np.ndarray | None:
    """The inverse of ``write_masks``: (count, h, w) bool; None where there is no such file. Raises SpadeError naming a
    file that holds something else.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if count < 1 or image.height % count or image.width * image.height > MOST_CELLS:
                raise SpadeError(
                    f"{path}: is {image.width} x {image.height}, and no {count} masks of one height; write them one "
                    "below the other."
                )
            return np.asarray(image.convert("1")).reshape(count, -1, image.width)
    except FileNotFoundError:
        return None
    except SpadeError:
        raise
    except Exception:  # a damaged file makes Pillow's decoders raise anything
        raise SpadeError(f"{path}: this png of proposals cannot be decoded; write it again.") from None
