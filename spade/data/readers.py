"""Any data set that spade reads, recognised by its files."""

from __future__ import annotations

from pathlib import Path

from spade.core.errors import SpadeError
from spade.core.paths import user_path
from spade.data.coco_reader import FOLDERS, find_coco, load_coco
from spade.data.psg import Dataset
from spade.data.psg_reader import find_annotations, is_psg, load_psg
from spade.data.vg_reader import find_vg, load_vg

FORMS = "psg.json, VG-SGG-with-attri.h5, or COCO's train.json and test.json with rel_annotations"


def is_dataset(path: Path) -> bool:
    """Whether this looks like a data set: a folder that holds one's annotation, or such a file."""
    return is_psg(path) or find_vg(path) is not None or bool(find_coco(path))


def load_dataset(data: Path, images: Path | None = None) -> Dataset:
    """Load a data set from a folder or an annotation file; ``images`` is where its images lie, if not beside it.

    PSG's form, Visual Genome's VG150, or COCO with relations. A bad record is left out and named in ``problems``.
    Raises SpadeError for what cannot be used.
    """
    path = user_path(data)
    if is_psg(path):
        return load_psg(path, images)
    if (h5 := find_vg(path)) is not None:
        return load_vg(h5, images)
    if files := find_coco(path):
        folder = path if path.is_dir() else path.parent.parent if path.parent.name in FOLDERS else path.parent
        return load_coco(files, folder, images)
    if path.is_dir() and not (path / "panoptic.json").is_file():
        raise SpadeError(f"{data}: holds none of {FORMS}; name a data set, or make one with: spade world {data}")
    return load_psg(find_annotations(path), images)
