"""An evaluation: images go in one by one, every figure comes out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spade.data.psg import Dataset, Record
from spade.data.split_lists import SplitList
from spade.evaluation.scoring.account import account
from spade.evaluation.scoring.bootstrap import Replicates, intervals, replicates
from spade.evaluation.scoring.groups import Facts, breakdowns, distance_curve
from spade.evaluation.scoring.masks import IdMap
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.protocols import Judgement, judge, rules_for
from spade.evaluation.scoring.quality import Quality
from spade.evaluation.scoring.recall import Recalls
from spade.evaluation.scoring.rows import among

Triples = frozenset[tuple[int, int, int]]


class Evaluator:
    """Judged images of a data set under one protocol, in the order in which they were added."""

    def __init__(
        self, dataset: Dataset, protocol: str = "openpsg", mode: str = "sgdet", at: Sequence[int] = (20, 50, 100)
    ) -> None:
        self.dataset, self.rules, self.mode, self.at = dataset, rules_for(dataset, protocol), mode, tuple(at)
        self.judged: list[Judgement] = []

    def judge(self, record: Record, true_ids: IdMap | None, predicted: PredictedImage | None) -> Judgement:
        """Judge an image; ``true_ids`` its annotated map (H, W), or its planes, where ``needs_masks``. May run in any
        thread.
        """
        return judge(self.rules, self.mode, record, true_ids, predicted)

    def add(self, record: Record, true_ids: IdMap | None, predicted: PredictedImage | None) -> None:
        """Judge an image and keep the judgement; ``predicted`` is None where a system gave nothing."""
        self.judged.append(self.judge(record, true_ids, predicted))

    def merge(self, other: Evaluator) -> None:
        """Append the images of a later part: the figures are those of one pass over both, digit for digit."""
        self.judged += other.judged

    @property
    def needs_masks(self) -> bool:
        """Whether annotated masks are looked at: boxes and given segments do without."""
        return self.mode == "sgdet" and not self.rules.boxes

    def metrics(self, strict: bool = False, zero_shot: Triples | None = None) -> dict[str, Any]:
        """R, mR, ngR, ng-mR, zR, ng-zR, PR, InstR, A@K and PQ as fractions; ``strict``: missing images count 0
        everywhere.
        """
        recalls = self._recalls(strict)
        unseen = None if zero_shot is None else _unseen(Facts.of(recalls), zero_shot)
        zero = dict.fromkeys(f"{name}@{k}" for name in ("zR", "ng-zR") for k in self.at)
        accuracy = recalls.accuracy(strict)
        return {
            **recalls.metrics(),
            **(zero if unseen is None else recalls.metrics(unseen, prefix="z")),
            **recalls.others(),
            **(accuracy if self.mode == "predcls" else dict.fromkeys(accuracy)),
            **self._quality(strict).metrics(),
        }

    def summary(
        self,
        split: SplitList | None = None,
        zero_shot: Triples | None = None,
        seed: int = 0,
        drawn: Replicates | None = None,
    ) -> dict[str, Any]:
        """Everything that ``spade eval --json`` prints; ``drawn`` are the bootstrap draws, where they are at hand."""
        recalls, quality = self._recalls(), self._quality()
        corrected = Recalls(recalls.judged, self.rules, recalls.predicates, self.at, corrected=True)
        facts = Facts.of(recalls)
        with_relations = sum(bool(j.record.relations) for j in self.judged)
        per_predicate = self._per_predicate(recalls)
        present = sum(row["images"] > 0 for row in per_predicate.values())
        metrics = self.metrics(zero_shot=zero_shot)
        per_class = quality.per_class()
        spans = intervals(self.replicates(seed) if drawn is None else drawn)
        return {
            "protocol": self.rules.name,
            "mode": self.mode,
            "images": len(recalls.judged),
            "skipped": with_relations - len(recalls.judged),
            "without_relations": len(self.judged) - with_relations,
            **metrics,
            "ci95": {name: spans.get(name) for name in (*(f"{n}@{k}" for k in self.at for n in ("R", "mR")), "PQ")},
            "strict": self.metrics(strict=True, zero_shot=zero_shot) | {"images": with_relations},
            "corrected": corrected.metrics(),
            "denominators": {
                "R": len(recalls.judged),
                "mR": recalls.predicates
                if recalls.absent == "zero"
                else present
                if present == recalls.predicates
                else None,
                "triplets": len(recalls.triples),
                "zR": None if zero_shot is None else len(np.unique(recalls.image[_unseen(facts, zero_shot)])),
                "PR": sum(len(j.pairs) for j in recalls.judged),
                "InstR": sum(len(j.found) for j in recalls.judged),
                "PQ": sum(row is not None for row in per_class) if self.needs_masks else None,
                "PQ_images": len(quality.images) if self.needs_masks else None,
            },
            "account": account(recalls),
            "absent_predicates": [name for name, row in per_predicate.items() if not row["images"]],
            "per_predicate": per_predicate,
            "per_class": dict(zip(self.dataset.classes, per_class, strict=True)) if self.needs_masks else None,
            "groups": breakdowns(recalls, facts, self.dataset, split),
            "distance": distance_curve(recalls, facts),
        }

    def replicates(self, seed: int) -> Replicates:
        """Bootstrap draws of R@K, mR@K and PQ over all judged images."""
        counted = np.array([i for i, j in enumerate(self.judged) if self._counts(j)], np.int64)
        with_quality = np.array([i for i, j in enumerate(self.judged) if j.quality is not None], np.int64)
        if not len(counted):
            return {}
        quality = self._quality() if len(with_quality) else None
        return replicates(self._recalls(), counted, quality, with_quality, len(self.judged), seed)

    def per_image(self) -> list[dict[str, Any]]:
        """One row an image: whether it was answered and counted, its triplets, R@K, the ranks at which they were found
        (from 1).
        """
        rows = []
        for judgement in self.judged:
            rank = judgement.hits.first
            share = {f"R@{k}": float(among(rank, k).mean()) if len(rank) else None for k in self.at}
            row = {
                "image_id": judgement.record.image_id,
                "answered": judgement.answered,
                "counted": self._counts(judgement),
            }
            ranks = [int(r) + 1 if r >= 0 else None for r in rank]
            rows.append(row | {"triplets": judgement.hits.triples.tolist(), "ranks": ranks, **share})
        return rows

    def _counts(self, judgement: Judgement, strict: bool = False) -> bool:
        return bool(judgement.record.relations) and (judgement.answered or strict or not self.rules.skip)

    def _recalls(self, strict: bool = False) -> Recalls:
        counted = [j for j in self.judged if self._counts(j, strict)]
        return Recalls(counted, self.rules, len(self.dataset.predicates), self.at)

    def _quality(self, strict: bool = False) -> Quality:
        images = [j.quality or (j.missed_quality if strict else None) for j in self.judged]
        return Quality([q for q in images if q is not None], len(self.dataset.classes), len(self.dataset.things))

    def _per_predicate(self, recalls: Recalls) -> dict[str, dict[str, Any]]:
        triplets = np.bincount(recalls.ranked.predicate, minlength=recalls.predicates)
        images = recalls.ranked.by_predicate(1, recalls.predicates)[1].sum(0)
        rows = [{"images": int(i), "triplets": int(t)} for i, t in zip(images, triplets, strict=True)]
        for name, table in (("", recalls.ranked), ("ng", recalls.free)):
            for k in self.at:
                values = (
                    [None] * recalls.predicates if table is None else table.predicate_recalls(k, recalls.predicates)
                )
                for row, value in zip(rows, values, strict=True):
                    row[f"{name}R@{k}"] = value  # type: ignore[assignment]
        return dict(zip(self.dataset.predicates, rows, strict=True))


def _unseen(facts: Facts, zero_shot: Triples) -> np.ndarray:
    """Which triplets (T,) have a label triple of the list."""
    labels = zip(facts.subject.tolist(), facts.object.tolist(), facts.predicate.tolist(), strict=True)
    return np.array([triple in zero_shot for triple in labels], bool)
