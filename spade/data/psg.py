"""A data set in PSG's form: its records, class lists and splits.

Quirks of the real files that are handled here: boxes are xyxy with exclusive x2 and y2; predicates are 0-based;
exact duplicates, several predicates on one pair and self-relations occur; crowds are marked; some COCO images
are annotated twice under two image_ids. Records are kept as annotated; ``training_triples`` and
``distinct_triples`` say what learning and evaluation use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from spade.core.digests import digest, digests
from spade.core.files import canonical_hash, inside
from spade.core.progress import Reporter
from spade.structures.vocabulary import Vocabulary

Box = tuple[float, float, float, float]
Triple = tuple[int, int, int]  # subject index, object index, predicate index


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """One annotated segment: ``id`` in the panoptic png, ``category`` index into things + stuff."""

    id: int
    category: int
    is_thing: bool
    is_crowd: bool
    area: int
    bbox: Box  # xyxy image pixels, x2 and y2 exclusive


@dataclass(frozen=True, slots=True)
class Record:
    """One annotated image. Relations are indices into ``segments``, as in the file."""

    image_id: str
    coco_image_id: str
    file_name: str
    panoptic_name: str
    width: int
    height: int
    segments: tuple[SegmentRecord, ...]
    relations: tuple[Triple, ...]
    hidden_pairs: tuple[tuple[int, int], ...] = ()  # related, but only by names that training must not see
    masks: tuple[bytes, ...] = ()  # as COCO's json, where there is no panoptic png; the n-th is of the segment of id n
    hidden_boxes: tuple[Box, ...] = ()  # of segments whose names training must not see, on data of boxes

    def distinct_triples(self) -> tuple[Triple, ...]:
        """Relations without exact copies, in the file's order."""
        return tuple(dict.fromkeys(self.relations))

    def training_triples(self) -> tuple[Triple, ...]:
        """Distinct relations without those of a segment with itself."""
        return tuple(t for t in self.distinct_triples() if t[0] != t[1])

    def learned_triples(self, unknown: int = -1) -> tuple[Triple, ...]:
        """Training's triples, and the hidden pairs with ``unknown`` in place of a predicate."""
        known = {(s, o) for s, o, _ in self.training_triples()}
        hidden = [(s, o, unknown) for s, o in self.hidden_pairs if (s, o) not in known and s != o]
        return (*self.training_triples(), *hidden)


@dataclass(frozen=True)
class Dataset:
    """A data set; ``root`` is where its images lie. ``has_masks``: segments have masks; else boxes, which may overlap.
    ``others``: further annotation files that it was read from; ``place``: what to name to open all of them again.
    """

    source: Path
    root: Path
    things: tuple[str, ...]
    stuff: tuple[str, ...]
    predicates: tuple[str, ...]
    records: tuple[Record, ...]
    test_ids: frozenset[str]
    problems: tuple[str, ...]  # one sentence for each record that was left out
    is_world: bool
    notes: tuple[str, ...] = ()  # what was converted, one sentence for each kind
    novel_objects: frozenset[str] = frozenset()  # that training must not see
    novel_predicates: frozenset[str] = frozenset()
    has_masks: bool = True
    val_ids: frozenset[str] = frozenset()
    others: tuple[Path, ...] = ()
    place: Path | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Object labels in the order of category indices."""
        return self.things + self.stuff

    @property
    def opened_as(self) -> Path:
        """What to name to open it again."""
        return self.place or self.source

    @property
    def vocabulary(self) -> Vocabulary:
        """The data set's own label lists."""
        return Vocabulary.of(self.things, self.stuff, self.predicates)

    def for_training(self) -> Dataset:
        """The data set without its novel names: neither in the lists nor in the annotations, indices counted anew.
        Of pairs that only novel predicates relate, records keep that they are no examples of unrelated ones.
        """
        if not (self.novel_objects or self.novel_predicates):
            return self
        classes = [i for i, name in enumerate(self.classes) if name not in self.novel_objects]
        predicates = [i for i, name in enumerate(self.predicates) if name not in self.novel_predicates]
        new_class, new_predicate = ({old: new for new, old in enumerate(names)} for names in (classes, predicates))

        def without(record: Record) -> Record:
            place = {
                old: new for new, old in enumerate(i for i, s in enumerate(record.segments) if s.category in new_class)
            }
            between = [(s, o, p) for s, o, p in record.relations if s in place and o in place]
            relations = [(s, o, p) for s, o, p in between if p in new_predicate]
            hidden = dict.fromkeys((place[s], place[o]) for s, o, p in between if p not in new_predicate)
            segments = tuple(
                replace(record.segments[i], category=new_class[record.segments[i].category]) for i in place
            )
            return replace(
                record,
                segments=segments,
                relations=tuple((place[s], place[o], new_predicate[p]) for s, o, p in relations),
                hidden_pairs=tuple(hidden),
                hidden_boxes=()
                if self.has_masks
                else tuple(segment.bbox for i, segment in enumerate(record.segments) if i not in place),
            )

        return replace(
            self,
            things=tuple(name for name in self.things if name not in self.novel_objects),
            stuff=tuple(name for name in self.stuff if name not in self.novel_objects),
            predicates=tuple(self.predicates[i] for i in predicates),
            records=tuple(without(record) for record in self.records),
            novel_objects=frozenset(),
            novel_predicates=frozenset(),
        )

    def split(self, name: str) -> list[Record]:
        """Records of "train", "val", "test" or "all"."""
        if name == "all":
            return list(self.records)
        if name != "train":
            chosen = self.test_ids if name == "test" else self.val_ids
            return [r for r in self.records if r.image_id in chosen]
        return [r for r in self.records if r.image_id not in self.test_ids and r.image_id not in self.val_ids]

    def image_path(self, record: Record) -> Path:
        """Where the record's image lies."""
        return inside(self.root, record.file_name, self.source)

    def panoptic_path(self, record: Record) -> Path:
        """Where the record's panoptic png lies."""
        return inside(self.root, record.panoptic_name, self.source)

    def fingerprint(
        self, records: list[Record], images: bool = True, panoptic: bool = False, report: Reporter | None = None
    ) -> str:
        """Hash of the contents of the annotation file and of these records' images and panoptic pngs (absent: null)."""
        paths = self._paths(records, images, panoptic)
        contents = [[self._name(path), content] for path, content in zip(paths, digests(paths, report), strict=True)]
        parts = {"others": [digest(path) for path in self.others]} if self.others else {}
        return canonical_hash({"annotations": digest(self.source), "contents": contents} | parts)

    def fingerprint_by_size(self, records: list[Record], images: bool = True, panoptic: bool = False) -> str:
        """As workspaces hold it that were made before contents were compared: names and sizes of the files."""
        paths = self._paths(records, images, panoptic)
        sizes = [[self._name(path), path.stat().st_size if path.is_file() else None] for path in paths]
        return canonical_hash({"annotations": digest(self.source), "pictures": sizes})

    def _paths(self, records: list[Record], images: bool, panoptic: bool) -> list[Path]:
        paths = [self.image_path(r) for r in records] if images else []
        return paths + ([self.panoptic_path(r) for r in records if r.panoptic_name] if panoptic else [])

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root))
