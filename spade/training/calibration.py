"""What one calibration learns from: pictures, the teacher's maps of them, and what stands for what in the student."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spade.core.errors import SpadeError
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_ids
from spade.diffusion.alignment import Target, hinge_loss, label_key, label_targets, map_loss, match_maps, pointing_hit
from spade.diffusion.attention import normalise
from spade.diffusion.student import EncodedImage, LabelContext, Student
from spade.diffusion.teacher_maps import KeptMaps
from spade.segmentation.matching import covered_cells
from spade.training.feature_cache import FeatureCache
from spade.training.loop import Row
from spade.training.split import TrainingImages

Aim = list[tuple[int, Tensor]]  # (position in the context, map that sums to 1)


@dataclass(frozen=True)
class TeacherMaps:
    """What the teacher saw in one picture.

    ``tokens`` (T, h, w): the maps of the first prompt's tokens, normalised, and ``places`` where each label's words
    stand among them; both empty where the cache has no tokens. ``wrong``: (label key, a mention's map, the same
    mention's in a prompt made wrong).
    """

    targets: tuple[Target, ...]
    tokens: Tensor
    places: Mapping[str, tuple[int, ...]]
    wrong: tuple[tuple[str, Tensor, Tensor], ...]

    @classmethod
    def of(cls, kept: KeptMaps) -> TeacherMaps:
        """From the map cache."""
        spans = kept.spans
        targets = label_targets([span["name"] for span in spans], [span["segment"] for span in spans], kept.maps)
        places: dict[str, tuple[int, ...]] = {}
        for span in spans:
            if span.get("prompt") == 0:
                key = label_key(span["name"], span["segment"] >= 0)
                places[key] = places.get(key, ()) + tuple(span["tokens"])
        wrong = []
        for fact, told in zip(kept.wrong_spans, kept.wrong, strict=True):
            span = spans[fact["of"]]
            wrong.append(
                (label_key(span["name"], span["segment"] >= 0), normalise(kept.maps[fact["of"]]), normalise(told))
            )
        return cls(tuple(targets), normalise(kept.tokens[0]) if kept.tokens else kept.maps[:0], places, tuple(wrong))


class Alignment:
    """Which of the student's tokens is compared with which of the teacher's maps; the names in the context are
    ``chosen``.
    """

    def __init__(self, kind: str, keys: Sequence[str]) -> None:
        self.kind = kind
        self.place = {key: i for i, key in enumerate(keys)} if kind == "vocabulary" else {}

    @property
    def everything(self) -> list[int]:
        """All names, as at test time."""
        return list(range(len(self.place)))

    def draw(self, lessons: Sequence[TeacherMaps]) -> list[int]:
        """The lessons' names and all or a random part of the others: half of the batches see the whole list."""
        present = {self.place[target.key] for lesson in lessons for target in lesson.targets} if self.place else set()
        share = 2 * float(torch.rand(()))
        drawn = torch.rand(len(self.place)) < share
        return [i for i in range(len(self.place)) if i in present or bool(drawn[i])]

    def positions(self, maps: Tensor, lesson: TeacherMaps, chosen: Sequence[int]) -> dict[str, list[int]]:
        """Label key -> positions in the context that stand for it; maps (L, h, w) are the student's of this picture.

        ``matched`` looks at the teacher's maps to assign them: an oracle, as ``index`` is, which needs the caption.
        """
        if self.kind == "vocabulary":
            where = {i: 1 + n for n, i in enumerate(chosen)}
            return {target.key: [where[self.place[target.key]]] for target in lesson.targets}
        if self.kind == "index":
            return {key: [i for i in own if i < len(maps)] for key, own in lesson.places.items()}
        found = match_maps(maps[1:], torch.stack([target.map for target in lesson.targets]).to(maps.device))
        return {target.key: [1 + i] for target, i in zip(lesson.targets, found, strict=True) if i >= 0}

    def aims(self, maps: Tensor, lesson: TeacherMaps, chosen: Sequence[int]) -> Aim:
        """What each position of the student is to look like."""
        if self.kind == "index":  # all words of the caption, between its begin and end tokens
            return [(i, lesson.tokens[i]) for i in range(1, min(len(lesson.tokens) - 1, len(maps)))]
        own = self.positions(maps.detach(), lesson, chosen)
        return [(own[target.key][0], target.map) for target in lesson.targets if target.key in own]


@dataclass(frozen=True)
class _EncodedRecord:
    """A record's observation and, for each label that names segments, its mask (h, w) bool on the maps' grid."""

    observation: EncodedImage
    masks: Mapping[str, Tensor]


class Calibration:
    """The data of one calibration: which images are learned from, which are watched, their lessons and losses."""

    def __init__(
        self,
        student: Student,
        dataset: Dataset,
        records: Sequence[Record],
        lessons: Mapping[str, TeacherMaps],
        hinge: float = 0.0,
    ) -> None:
        """hinge: the weight of the loss against maps of prompts made wrong."""
        self.student, self.dataset, self.lessons, self.hinge = student, dataset, lessons, hinge
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        keys = [*vocabulary.names, *(label_key(name, False) for name in vocabulary.predicates)]
        self.alignment = Alignment(student.kind.alignment, keys)
        self.pointing = "pointing" if student.kind.labels else "pointing_oracle"  # its name in the curves
        self._seen: FeatureCache[_EncodedRecord] = FeatureCache(self._look, lambda seen: seen.observation.bytes)

    def lesson(self, index: int) -> TeacherMaps:
        """The lesson of an image."""
        return self.lessons[self.images.records[index].image_id]

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """L1 between normalised maps and, where asked for, the hinge."""
        lessons = [self.lesson(i) for i in batch]
        chosen = self.alignment.draw(lessons)
        maps = self.student.maps([self._seen[i].observation for i in batch], self._context(chosen))
        terms = {
            "l1": map_loss(
                maps, [self.alignment.aims(own, lesson, chosen) for own, lesson in zip(maps, lessons, strict=True)]
            )
        }
        if self.hinge:
            wrong = []
            for own, lesson in zip(maps, lessons, strict=True):
                where = self.alignment.positions(own.detach(), lesson, chosen)
                wrong.append(
                    [(where[key][0], true.to(own.device), false.to(own.device)) for key, true, false in lesson.wrong]
                )
            terms["hinge"] = self.hinge * hinge_loss(maps, wrong)
        return terms

    def watch(self) -> Row:
        """Loss under the whole list, pointing game and mass inside for objects, on the watched images, one at a
        time.
        """
        losses: list[float] = []
        hits: list[tuple[bool, float, float]] = []
        with torch.no_grad():
            for index in self.images.watched:
                maps = self._maps(index)
                lesson = self.lesson(index)
                losses.append(
                    float(map_loss(maps[None], [self.alignment.aims(maps, lesson, self.alignment.everything)]))
                )
                looks = self._label_maps(maps, lesson)
                hits += [
                    pointing_hit(looks[key], mask.to(maps.device))
                    for key, mask in self._seen[index].masks.items()
                    if key in looks
                ]
        row = {"minus_loss": -math.fsum(losses) / len(losses)}
        if hits:
            for i, name in enumerate((self.pointing, "mass_inside", "chance")):
                row[name] = math.fsum(float(hit[i]) for hit in hits) / len(hits)
        return row

    @torch.no_grad()
    def label_maps(self, index: int) -> dict[str, Tensor]:
        """Label key -> where the student looks for it in an image (h, w), raw, under the whole list."""
        return self._label_maps(self._maps(index), self.lesson(index))

    def _maps(self, index: int) -> Tensor:
        return self.student.maps([self._seen[index].observation], self._context(self.alignment.everything))[0]

    def _label_maps(self, maps: Tensor, lesson: TeacherMaps) -> dict[str, Tensor]:
        where = self.alignment.positions(maps, lesson, self.alignment.everything)
        return {key: normalise(maps[own]).mean(0) for key, own in where.items() if own}

    def _context(self, chosen: Sequence[int]) -> LabelContext:
        return self.labels.part(chosen) if self.student.kind.labels else self.labels

    def _look(self, index: int) -> _EncodedRecord:
        record = self.images.records[index]
        observation = self.student.observe(read_image(self.dataset.image_path(record)), fine=False)
        return _EncodedRecord(observation, self.masks(index) if index in self.images.watched else {})

    def masks(self, index: int) -> dict[str, Tensor]:
        """Cells that lie in any segment of a label, for the labels with a target; empty without a panoptic png that
        fits.
        """
        record = self.images.records[index]
        try:
            ids = annotated_ids(self.dataset, record)
        except SpadeError:
            return {}
        masks = {}
        for target in self.lesson(index).targets:
            if not target.segments:
                continue
            named = [s.id for s in record.segments if self.dataset.classes[s.category] == target.label]
            inside = np.isin(ids, named)
            if inside.any():
                masks[target.key] = covered_cells(torch.from_numpy(inside), (target.map.shape[0], target.map.shape[1]))
        return masks
