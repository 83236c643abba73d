"""COCO's categories as labels: what is a thing, what is stuff."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeWarning
from spade.core.text import one_line, refuse_control
from spade.data.checks import thing_flag
from spade.structures.scene_graph_json import text_of
from spade.structures.vocabulary import Label, known_supercategory, named_label


def category_labels(path: Path, rows: Sequence[Any]) -> tuple[Label, ...]:
    """A file's categories. Thing or stuff is what they say, else what PSG's lists say of their names; of a name that
    nobody knows a warning tells that it counts as a thing.
    """
    labels, unknown = [], []
    for row in rows:
        name, flag = text_of(row, "name"), thing_flag(row.get("isthing"))
        refuse_control(name, f"{path}: categories")
        group = text_of(row, "supercategory") if row.get("supercategory") else None
        if flag is None and known_supercategory(name) is None:
            unknown.append(name)
        labels.append(Label(name, named_label(name).is_thing if flag is None else flag, (), group))
    if unknown:
        warnings.warn(
            f"{path}: nothing says whether {one_line(', '.join(unknown), 80)} are things or stuff; they count as "
            "things (isthing in categories would say it).",
            SpadeWarning,
            stacklevel=3,
        )
    return tuple(labels)
