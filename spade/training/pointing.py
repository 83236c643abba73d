"""The pointing game on annotated images: does a student's map of a name have its maximum on a segment of that name?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_regions
from spade.diffusion.alignment import pointing_hit
from spade.diffusion.student import Student
from spade.segmentation.matching import covered_cells


@torch.no_grad()
def pointing(student: Student, dataset: Dataset, records: Sequence[Record]) -> dict[str, float]:
    """Over all things that the records name: ``pointing``, the share that is hit, ``chance``, their share of the area,
    ``mass_inside``, the share of a map that lies on them, and ``names``, their number.

    The student is told the data set's whole list. Raises SpadeError for a map that cannot be read.
    """
    labels = student.label_context(dataset.vocabulary)
    hits: list[tuple[bool, float, float]] = []
    for record in records:
        encoded = student.encode(read_image(dataset.image_path(record)), fine=False)
        maps, regions = student.maps([encoded], labels)[0], annotated_regions(dataset, record).masks()
        for category in sorted({segment.category for segment in record.segments if segment.is_thing}):
            named = [i for i, segment in enumerate(record.segments) if segment.category == category]
            inside = regions[named].any(0)
            if inside.any():
                mask = covered_cells(torch.from_numpy(inside), (maps.shape[-2], maps.shape[-1]))
                hits.append(pointing_hit(maps[1 + category], mask.to(maps.device)))
    count = max(1, len(hits))
    names = ("pointing", "mass_inside", "chance")
    shares = {name: math.fsum(float(hit[i]) for hit in hits) / count for i, name in enumerate(names)}
    return shares | {"names": len(hits)}
