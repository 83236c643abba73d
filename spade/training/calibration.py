"""What one calibration learns from: images, the teacher's maps of them, and which token stands for what in the
student.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.core.errors import SpadeError
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_regions
from spade.diffusion.alignment import Target, hinge_loss, label_key, label_targets, map_loss, match_maps, pointing_hit
from spade.diffusion.attention import normalise
from spade.diffusion.student import EncodedImage, LabelContext, Student
from spade.diffusion.teacher_maps import TeacherMaps
from spade.segmentation.matching import covered_cells
from spade.training.feature_cache import FeatureCache
from spade.training.loop import Row
from spade.training.split import TrainingImages

Aim = list[tuple[int, Tensor]]  # (position in the context, map that sums to 1)


@dataclass(frozen=True)
class CalibrationTargets:
    """What a calibration compares one image's maps with, of its teacher maps.

    ``tokens`` (T, h, w): the maps of the first prompt's tokens, normalised, and ``positions`` where each label's words
    stand among them; both empty where no tokens were kept. ``wrong``: (label key, a mention's map, the same mention's
    in a prompt made wrong).
    """

    targets: tuple[Target, ...]
    tokens: Tensor
    positions: Mapping[str, tuple[int, ...]]
    wrong: tuple[tuple[str, Tensor, Tensor], ...]

    @classmethod
    def of(cls, teacher: TeacherMaps) -> CalibrationTargets:
        """Of one image."""
        spans, maps = teacher.spans, torch.stack([span_map.map for span_map in teacher.spans])
        targets = label_targets(
            [span_map.span.name for span_map in spans], [span_map.span.segment for span_map in spans], maps
        )
        keys = [label_key(span_map.span.name, span_map.span.segment >= 0) for span_map in spans]
        positions: dict[str, tuple[int, ...]] = {}
        for key, span_map in zip(keys, spans, strict=True):
            if span_map.prompt == 0:
                positions[key] = positions.get(key, ()) + span_map.tokens
        wrong = [(keys[w.of], normalise(maps[w.of]), normalise(w.map)) for w in teacher.wrong]
        tokens = normalise(teacher.tokens[0]) if teacher.tokens else maps[:0]
        return cls(tuple(targets), tokens, positions, tuple(wrong))


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

    def draw(self, targets: Sequence[CalibrationTargets]) -> list[int]:
        """The targets' names and all or a random part of the others: half of the batches see the whole list."""
        present = {self.place[target.key] for wanted in targets for target in wanted.targets} if self.place else set()
        share = 2 * float(torch.rand(()))
        drawn = torch.rand(len(self.place)) < share
        return [i for i in range(len(self.place)) if i in present or bool(drawn[i])]

    def positions(self, maps: Tensor, wanted: CalibrationTargets, chosen: Sequence[int]) -> dict[str, list[int]]:
        """Label key -> positions in the context that stand for it; maps (L, h, w) are the student's of this image.

        ``matched`` looks at the teacher's maps to assign them: an oracle, as ``index`` is, which needs the caption.
        """
        if self.kind == "vocabulary":
            where = {i: 1 + n for n, i in enumerate(chosen)}
            return {target.key: [where[self.place[target.key]]] for target in wanted.targets}
        if self.kind == "index":
            return {key: [i for i in positions if i < len(maps)] for key, positions in wanted.positions.items()}
        matched = match_maps(maps[1:], torch.stack([target.map for target in wanted.targets]).to(maps.device))
        return {target.key: [1 + i] for target, i in zip(wanted.targets, matched, strict=True) if i >= 0}

    def aims(self, maps: Tensor, wanted: CalibrationTargets, chosen: Sequence[int]) -> Aim:
        """What each position of the student is to look like."""
        if self.kind == "index":  # all words of the caption, between its begin and end tokens
            return [(i, wanted.tokens[i]) for i in range(1, min(len(wanted.tokens) - 1, len(maps)))]
        positions = self.positions(maps.detach(), wanted, chosen)
        return [(positions[target.key][0], target.map) for target in wanted.targets if target.key in positions]


@dataclass(frozen=True)
class _EncodedRecord:
    """A record's encoded image and, for each label that names segments, its mask (h, w) bool on the maps' grid."""

    encoded_image: EncodedImage
    masks: Mapping[str, Tensor]


class Calibration:
    """The data of one calibration: which images are learned from, which are held out for validation, their targets
    and losses.
    """

    def __init__(
        self,
        student: Student,
        dataset: Dataset,
        records: Sequence[Record],
        targets: Mapping[str, CalibrationTargets],
        hinge: float = 0.0,
    ) -> None:
        """hinge: the weight of the loss against maps of prompts made wrong."""
        self.student, self.dataset, self.targets, self.hinge = student, dataset, targets, hinge
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        keys = [*vocabulary.names, *(label_key(name, False) for name in vocabulary.predicates)]
        self.alignment = Alignment(student.kind.alignment, keys)
        self.pointing = "pointing" if student.kind.labels else "pointing_oracle"  # its name in the curves
        self._encoded = FeatureCache().view(self._encode, lambda encoded: encoded.encoded_image.bytes)

    def targets_of(self, index: int) -> CalibrationTargets:
        """The targets of an image."""
        return self.targets[self.images.records[index].image_id]

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """L1 between normalised maps and, where asked for, the hinge."""
        targets = [self.targets_of(i) for i in batch]
        chosen = self.alignment.draw(targets)
        maps = self.student.maps([self._encoded[i].encoded_image for i in batch], self._context(chosen))
        terms = {
            "l1": map_loss(
                maps,
                [
                    self.alignment.aims(image_maps, wanted, chosen)
                    for image_maps, wanted in zip(maps, targets, strict=True)
                ],
            )
        }
        if self.hinge:
            wrong = []
            for image_maps, wanted in zip(maps, targets, strict=True):
                where = self.alignment.positions(image_maps.detach(), wanted, chosen)
                wrong.append(
                    [
                        (where[key][0], true.to(image_maps.device), false.to(image_maps.device))
                        for key, true, false in wanted.wrong
                    ]
                )
            terms["hinge"] = self.hinge * hinge_loss(maps, wrong)
        return terms

    def validate(self) -> Row:
        """Loss under the whole list, pointing game and mass inside for objects, on the validation images, one at a
        time.
        """
        losses: list[float] = []
        hits: list[tuple[bool, float, float]] = []
        with torch.no_grad():
            for index in self.images.validation:
                maps = self._maps(index)
                wanted = self.targets_of(index)
                losses.append(
                    float(map_loss(maps[None], [self.alignment.aims(maps, wanted, self.alignment.everything)]))
                )
                label_maps = self._label_maps(maps, wanted)
                hits += [
                    pointing_hit(label_maps[key], mask.to(maps.device))
                    for key, mask in self._encoded[index].masks.items()
                    if key in label_maps
                ]
        row = {"minus_loss": -math.fsum(losses) / len(losses)}
        if hits:
            for i, name in enumerate((self.pointing, "mass_inside", "chance")):
                row[name] = math.fsum(float(hit[i]) for hit in hits) / len(hits)
        return row

    @torch.no_grad()
    def label_maps(self, index: int) -> dict[str, Tensor]:
        """Label key -> where the student looks for it in an image (h, w), raw, under the whole list."""
        return self._label_maps(self._maps(index), self.targets_of(index))

    def _maps(self, index: int) -> Tensor:
        return self.student.maps([self._encoded[index].encoded_image], self._context(self.alignment.everything))[0]

    def _label_maps(self, maps: Tensor, wanted: CalibrationTargets) -> dict[str, Tensor]:
        where = self.alignment.positions(maps, wanted, self.alignment.everything)
        return {key: normalise(maps[positions]).mean(0) for key, positions in where.items() if positions}

    def _context(self, chosen: Sequence[int]) -> LabelContext:
        return self.labels.part(chosen) if self.student.kind.labels else self.labels

    def _encode(self, index: int) -> _EncodedRecord:
        record = self.images.records[index]
        encoded_image = self.student.encode(read_image(self.dataset.image_path(record)), fine=False)
        return _EncodedRecord(encoded_image, self.masks(index) if index in self.images.validation else {})

    def masks(self, index: int) -> dict[str, Tensor]:
        """Cells that lie in any segment of a label, for the labels with a target; empty without a map that fits."""
        record = self.images.records[index]
        try:
            regions = annotated_regions(self.dataset, record).masks()
        except SpadeError:
            return {}
        masks = {}
        for target in self.targets_of(index).targets:
            if not target.segments:
                continue
            named = [i for i, s in enumerate(record.segments) if self.dataset.classes[s.category] == target.label]
            inside = regions[named].any(0)
            if inside.any():
                masks[target.key] = covered_cells(torch.from_numpy(inside), (target.map.shape[0], target.map.shape[1]))
        return masks
