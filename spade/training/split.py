"""Which images training learns from, and which are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spade.data.psg import Record

if TYPE_CHECKING:
    from spade.diffusion.student import Student


def validation_split(records: list[Record], share: float = 0.1) -> tuple[list[Record], list[Record]]:
    """Training records split into (train, validation), fixed by a hash of the COCO id.

    Both records of an image annotated twice fall on the same side. At least one record is for validation where there
    are two.
    """

    def rank(record: Record) -> str:
        return hashlib.sha256(f"watched {record.coco_image_id}".encode()).hexdigest()

    groups = sorted({rank(record) for record in records})
    count = min(len(groups) - 1, max(1, round(share * len(groups))))
    chosen = set(groups[:count])
    return [r for r in records if rank(r) not in chosen], [r for r in records if rank(r) in chosen]


class TrainingImages:
    """Records in one list: first those for training, then those for validation.

    A single record is both; more are split by ``validation_split``.
    """

    def __init__(self, student: Student, records: Sequence[Record]) -> None:
        train, validation = validation_split(list(records))
        self.records = [*train, *validation] if validation else [*train, *train]
        self.train = range(len(train))
        self.validation = range(len(train), len(self.records))
        self._sizes = [student.size_for(record.width, record.height) for record in self.records]

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) at which a record's image is seen."""
        return self._sizes[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The training images' indices in batches of one size each."""
        return grouped_batches([self.size(i) for i in self.train], batch_size, seed, epoch)


def grouped_batches(groups: Sequence[Hashable], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of indices for one epoch: shuffled, each from one group (images of one size), none left out.

    The number of batches depends on the groups alone, not on the epoch.
    """
    rng = np.random.default_rng([seed, epoch])
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    batches: list[list[int]] = []
    for indices in members.values():
        order = [indices[i] for i in rng.permutation(len(indices))]
        batches += [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
