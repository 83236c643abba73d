"""The COCO-panoptic png: id = R + 256 G + 65536 B, 0 = void."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.file_kinds import what_it_is
from spade.core.files import write_bytes

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]  # red, green, blue


def planes_to_ids(planes: Planes) -> np.ndarray:
    """Three uint8 planes of any shape to uint32 segment ids."""
    red, green, blue = (plane.astype(np.uint32) for plane in planes)
    return red | green << 8 | blue << 16


def rgb_to_ids(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 colours to (H, W) uint32 segment ids."""
    return planes_to_ids((rgb[..., 0], rgb[..., 1], rgb[..., 2]))


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """(H, W) segment ids below 2**24 to (H, W, 3) uint8 colours."""
    wide = ids.astype(np.uint32)
    return np.stack([wide & 255, (wide >> 8) & 255, (wide >> 16) & 255], axis=-1).astype(np.uint8)


def read_panoptic(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a panoptic png as (H, W) uint32 ids; see ``read_planes``."""
    return planes_to_ids(read_planes(path, size=size))


def read_planes(path: Path, data: bytes | None = None, size: tuple[int, int] | None = None) -> Planes:
    """Read a panoptic png as its three planes (H, W) uint8: id = R + 256 G + 65536 B; from ``data`` if its bytes are at
    hand.

    Evaluation compares neighbouring pixels and needs few ids: putting together 300,000 of them costs a third of
    decoding. Raises SpadeError naming the file; where it has not the ``size`` (width, height) that its image has,
    before decoding it.
    """
    try:
        with Image.open(path if data is None else io.BytesIO(data)) as image:
            if image.mode not in ("RGB", "RGBA"):
                raise SpadeError(
                    f"{path}: a panoptic png holds ids in RGB, this one is "
                    f"{image.mode}; convert it with panopticapi's ids."
                )
            if size is not None and image.size != size:
                sizes = f"is {image.width} x {image.height}, its image {size[0]} x {size[1]}"
                raise SpadeError(f"{path}: this panoptic png {sizes}; give the image its own png.")
            red, green, blue = (np.asarray(plane) for plane in image.split()[:3])
            return red, green, blue
    except FileNotFoundError:
        raise SpadeError(f"{path}: no such panoptic png; check the path, or unpack the pngs there.") from None
    except SpadeError:
        raise
    except Exception:  # a damaged file makes Pillow's decoders raise anything
        if (found := _kind(path, data)) is not None:
            raise SpadeError(f"{path}: is {found[0]}, and no panoptic png; {found[1]}.") from None
        raise SpadeError(f"{path}: this panoptic png cannot be decoded; fetch or write it again.") from None


def _kind(path: Path, data: bytes | None) -> tuple[str, str] | None:
    try:
        if data is None:
            with open(path, "rb") as file:
                data = file.read(100)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})", "mend that"
    found = what_it_is(data[:100])
    return None if found is not None and found[0].endswith("image") else found


def write_panoptic(path: Path, ids: np.ndarray) -> None:
    """Write (H, W) ids as a panoptic png, atomically."""
    write_bytes(path, png_bytes(ids_to_rgb(ids)))


def png_bytes(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 to the bytes of a png."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def spread_id(index: int) -> int:
    """A panoptic id for the index-th segment: unique below 2**23, never 0, and far from its neighbours' colours."""
    return (index + 1) * 2654435761 % (1 << 24)
