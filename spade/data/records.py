"""Rows of an annotation file, of whatever format, to the records of a data set: what every reader does alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.files import inside
from spade.core.text import counted, refuse_control
from spade.data.checks import RecordError, checked_record, numbers_in, refuse_from_one
from spade.data.psg import Record
from spade.structures.vocabulary import all_different

Row = Callable[[], Any]  # makes a row in PSG's form; raises RecordError or ValueError where it cannot


@dataclass(frozen=True)
class LabelLists:
    """The names that a file's numbers refer to: things and stuff in the order of categories, predicates; and under
    which of its keys they stand.
    """

    things: tuple[str, ...]
    stuff: tuple[str, ...]
    predicates: tuple[str, ...]
    keys: tuple[str, str, str] = ("thing_classes", "stuff_classes", "predicate_classes")

    def check(self, source: Path, docs: str) -> None:
        """Raise SpadeError for lists that name nothing, or something twice, or with control characters."""
        for names, key in zip((self.things, self.stuff, self.predicates), self.keys, strict=True):
            for number, name in enumerate(names):
                if not name.strip():
                    raise SpadeError(
                        f"{source}: name {number} (from 0) under {key} is blank ({name!r}); give it a word."
                    )
                refuse_control(name, f"{source}: name {number} (from 0) under {key}")
        for names, kind in ((self.things + self.stuff, "class"), (self.predicates, "predicate")):
            all_different(names, kind, str(source))
            if not names:
                raise SpadeError(f"{source}: lists no {kind}; give it a file in the form of {docs}.")


@dataclass
class Collected:
    """Records, what was wrong with others, what was converted, and the image ids of all."""

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)

    def add(self, source: Path, rows: Iterable[Row], lists: LabelLists, with_maps: bool = True) -> None:
        """Check rows and keep their records; a bad one is named and left out. Raises SpadeError where numbers are
        counted from 1.
        """
        predicates, categories = set[int](), set[int]()
        seen = {record.image_id for record in self.records}
        for index, row in enumerate(rows):
            try:
                plain = row()
                self.ids.add(str(plain.get("image_id")) if isinstance(plain, Mapping) else "")
                of_relations, of_segments = numbers_in(plain)
                predicates.update(of_relations)
                categories.update(of_segments)
                record, converted = checked_record(plain, lists.things, lists.stuff, lists.predicates, with_maps)
                for name in (record.file_name, record.panoptic_name) if with_maps else (record.file_name,):
                    inside(source.parent, name, source)
                if record.image_id in seen:
                    raise RecordError(f"image_id {record.image_id} occurs twice")
                seen.add(record.image_id)
                self.records.append(record)
                self.notes.update(converted)
            except (RecordError, SpadeError, ValueError, RecursionError) as error:
                why = str(error).removeprefix(f"{source}: ")
                self.problems.append(f"{source}: record {index} left out ({why})")
        refuse_from_one(source, predicates, len(lists.predicates), "predicates")
        refuse_from_one(source, categories, len(lists.things + lists.stuff), "categories")

    def check(self, source: Path, docs: str) -> None:
        """Raise SpadeError where no record, or not half of them, can be used."""
        count = len(self.records) + len(self.problems)
        if self.records and len(self.problems) <= len(self.records):
            return
        why = f" ({self.problems[0].removeprefix(f'{source}: ')})" if self.problems else ""
        if not count:
            raise SpadeError(f"{source}: holds no record; check it against {docs}.")
        many = len(self.problems) or "all"
        raise SpadeError(f"{source}: {many} of its {count} records cannot be used{why}; check it against {docs}.")

    def sentences(self, source: Path) -> list[str]:
        """What was converted, one sentence for each kind."""
        return [f"{source}: {counted(count, 'record')}: {note}" for note, count in self.notes.items()]


def unknown_ids(source: Path, given: Sequence[str], known: set[str], what: str) -> list[str]:
    """A sentence where some of these ids are of no record."""
    unknown = len(set(given) - known)
    return [f"{source}: {unknown} of {len(set(given))} {what} are the image_id of no record"] if unknown else []
