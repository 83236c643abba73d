"""A protocol joins the sums: images go in one by one, figures come out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spade.data.psg import Record
from spade.evaluation.matching import overlaps
from spade.evaluation.predictions import PredictedImage
from spade.evaluation.quality import QualitySums
from spade.evaluation.recall import RecallSums, first_hits


class OpenPsg:
    """The rules of every PSG paper: R@K and mR@K as OpenPSG's evaluator has them, PQ as panopticapi has it.

    Images without a prediction or without rows are skipped in recall and counted; ``strict`` counts them as 0.
    """

    name = "openpsg"

    def __init__(self, classes: Sequence[str], things: int, predicates: Sequence[str], at: Sequence[int]) -> None:
        self.predicates = tuple(predicates)
        self.recall = RecallSums(tuple(at), len(predicates))
        self.quality = QualitySums(len(classes), things)

    def add(self, record: Record, true_ids: np.ndarray, predicted: PredictedImage | None) -> None:
        """One image; ``true_ids`` (H, W) its annotated panoptic map, ``predicted`` None where a system gave nothing."""
        triples = record.distinct_triples()
        if not triples:
            self.recall.truthless += 1
        if predicted is None:
            self.recall.skipped += bool(triples)
            return
        found = overlaps(predicted, true_ids, [s.id for s in record.segments])
        classes = [s.category for s in record.segments]
        self.quality.add([s.category for s in predicted.segments], classes, [s.is_crowd for s in record.segments], found)
        if not triples:
            return
        if not len(predicted.pairs):
            self.recall.skipped += 1
            return
        self.recall.add(first_hits(predicted, found, classes, triples), triples)

    def figures(self) -> dict[str, Any]:
        """Everything that ``spade eval --json`` prints, as fractions."""
        per = self.recall.per_predicate(0)
        return {
            "protocol": self.name,
            "mode": "sgdet",
            "images": len(self.recall.recalls),
            "skipped": self.recall.skipped,
            "without_relations": self.recall.truthless,
            **self.recall.figures(),
            **self.quality.figures(),
            "strict": self.recall.strict(),
            "per_predicate": {f"R@{self.recall.at[0]}": dict(zip(self.predicates, per, strict=True))},
        }
