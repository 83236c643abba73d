"""Segments as COCO's run-length masks or polygons, painted into one map; pycocotools decodes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CodedMask:
    """A COCO annotation's mask: run lengths as {"size": [h, w], "counts": text or numbers}, or polygons
    [[x, y, x, y, ...], ...]; and how sure its finder was.
    """

    segmentation: Any
    score: float = 1.0


def paint(masks: Sequence[CodedMask], size: tuple[int, int]) -> np.ndarray:
    """(H, W) int32: 0, or 1 + the place of the mask that a pixel belongs to; ``size`` is (width, height).

    Where masks overlap, the smaller lies on top. Raises ValueError for
    a mask that is none, or is not of this size.
    """
    from pycocotools import mask as coco

    codes = [_checked(mask.segmentation, size) for mask in masks]
    areas = [int(coco.area(code)) for code in codes]
    numbers = np.zeros((size[1], size[0]), np.int32)
    for place in sorted(range(len(masks)), key=lambda i: -areas[i]):
        # Only within its box: a thousand small masks on a large image would take minutes.
        x, y, width, height = (int(side) for side in coco.toBbox(codes[place]))
        window = np.s_[y : y + height, x : x + width]
        numbers[window][coco.decode(codes[place])[window].astype(bool)] = place + 1
    return numbers


def _checked(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Compressed run lengths that cover the image exactly: pycocotools trusts what it is given."""
    from pycocotools import mask as coco

    width, height = size
    if isinstance(segmentation, list):
        polygons = [np.asarray(polygon, float) for polygon in segmentation]
        if not polygons or any(polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise ValueError("a polygon is a list of three or more points x, y")
        if not all(np.isfinite(polygon).all() for polygon in polygons):
            raise ValueError("a polygon has a corner that is no number")
        corners = [polygon.reshape(-1, 2).clip((0, 0), size).ravel().tolist() for polygon in polygons]
        merged: dict[str, Any] = coco.merge(coco.frPyObjects(corners, height, width))
        return merged
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError("a mask is run lengths with size and counts, or a list of polygons")
    if list(segmentation["size"]) != [height, width]:
        mask_size = " x ".join(map(str, reversed(list(segmentation["size"])[:2])))
        raise ValueError(f"a mask is {mask_size}, the image {width} x {height}")
    counts = segmentation["counts"]
    runs = _runs(counts) if isinstance(counts, str) else [int(run) for run in counts]
    if min(runs, default=-1) < 0 or sum(runs) != width * height:
        raise ValueError(f"a mask's runs do not cover the image's {width * height} pixels")
    if isinstance(counts, str):
        return {"size": [height, width], "counts": counts.encode("ascii")}
    made: dict[str, Any] = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return made


def _runs(text: str) -> list[int]:
    """The run lengths of a compressed mask: six bits a character from 48 on, five of a number and one that says
    whether more follow; from the third on each is the difference to the one before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise ValueError("a mask's counts are no run lengths")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("a mask's counts end within a number")
    return runs
