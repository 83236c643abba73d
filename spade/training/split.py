"""Which images training learns from, and which are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from spade.data.psg import Record
from spade.diffusion.student import Student
from spade.training.loop import grouped_batches


def validation_split(records: list[Record], share: float = 0.1) -> tuple[list[Record], list[Record]]:
    """Training records split into (learned from, watched), fixed by a hash of the COCO id.

    Both records of an image annotated twice fall on the same side. At least one record is watched where there are two.
    """

    def rank(record: Record) -> str:
        return hashlib.sha256(f"watched {record.coco_image_id}".encode()).hexdigest()

    groups = sorted({rank(record) for record in records})
    count = min(len(groups) - 1, max(1, round(share * len(groups))))
    chosen = set(groups[:count])
    return [r for r in records if rank(r) not in chosen], [r for r in records if rank(r) in chosen]


class TrainingImages:
    """Records in one list: first those that are learned from, then those that are watched.

    A single record is both; more are split by ``validation_split``.
    """

    def __init__(self, student: Student, records: Sequence[Record]) -> None:
        learned, watched = validation_split(list(records))
        self.records = [*learned, *watched] if watched else [*learned, *learned]
        self.learned = range(len(learned))
        self.watched = range(len(learned), len(self.records))
        self._sizes = [student.size_for(record.width, record.height) for record in self.records]

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) at which a record's picture is seen."""
        return self._sizes[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The learned images' indices in batches of one size each."""
        return grouped_batches([self.size(i) for i in self.learned], batch_size, seed, epoch)
