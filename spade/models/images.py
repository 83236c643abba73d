"""What a predictor is called with: one image of any kind, or several, by a list, a folder or a glob."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.paths import user_path
from spade.data.image_files import FoundImages, file_text, find_images
from spade.structures.scene_graph import SceneGraph

ImageLike = Any  # what spade.data.images.open_image takes


def is_many(image: Any) -> bool:
    """Whether this is several images: a folder, a glob that is no file's name, or a list, tuple or iterator."""
    if isinstance(image, (str, Path)):
        path = user_path(image)
        return path.is_dir() or (glob.has_magic(str(image)) and not path.is_file())
    if isinstance(image, (bytes, bytearray, np.ndarray, torch.Tensor, Image.Image)) or hasattr(image, "read"):
        return False
    return isinstance(image, (list, tuple, Iterator))


def each(images: Any, graph_of: Callable[[Any], SceneGraph], skips: bool) -> Iterator[SceneGraph]:
    """Graphs of images one by one; with ``skips`` a warning tells of each that cannot be read, and one of all."""
    sources = [images] if isinstance(images, (str, Path)) else images
    skipped = count = 0
    for source in _flat(sources):
        count += 1
        try:
            graph = graph_of(source)
        except SpadeError as error:
            if not skips:
                raise
            skipped += 1
            warnings.warn(f"skipped: {error}", SpadeWarning, stacklevel=2)
            continue
        yield graph
    if skipped:
        warnings.warn(f"skipped {skipped} of {count} images", SpadeWarning, stacklevel=2)


def _flat(sources: Iterable[Any]) -> Iterator[Any]:
    """Images, with folders and globs in the place of their names."""
    for source in sources:
        if isinstance(source, (str, Path)) and is_many(source):
            found = FoundImages()
            find_images(source, found)
            yield from found.paths
        else:
            yield source


def image_name(image: Any) -> str:
    """The file's name where there is one."""
    return file_text(Path(image)) if isinstance(image, (str, Path)) else ""
