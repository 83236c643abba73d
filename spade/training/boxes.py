"""What relations of labels and boxes learn from, and how they are validated."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spade.data.psg import Dataset, Record
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.rows import ranked
from spade.relations.boxes import BoxRelationModel, BoxSegments, moved
from spade.relations.losses import Imbalance, prior_of, relation_losses
from spade.relations.pair_sampling import UNKNOWN
from spade.relations.pair_selection import mean_selected_recall
from spade.structures.label_index import LabelIndex
from spade.training.config import RelationLossConfig
from spade.training.loop import Row
from spade.training.split import grouped_batches, validation_split

SIZES = (4, 6, 8, 10, 12, 15, 20, 30)  # images with about as many segments share a batch
TOGETHER = 32  # images that are validated at once
PAIRS = 32  # ordered pairs an image that are learned from at once
# How far edges of boxes are moved, and how many segments without a relation are left out, while learning.
JITTER, MISSED = 0.05, 0.15
ADJUSTMENTS = tuple(i / 10 for i in range(11))
Answer = tuple[np.ndarray, Tensor, Tensor]  # of one record: pairs (R, 2), P(pair) (R,), predicate logits (R, P)


def box_segments_of(records: Sequence[Record], index: LabelIndex, dataset: Dataset) -> list[BoxSegments]:
    """Records as labels and boxes."""
    matches = [index.find(label) for label in dataset.vocabulary.objects]
    label_rows = [(match.category, match.group, match.is_thing) for match in matches]
    segments = []
    for record in records:
        boxes = torch.tensor([segment.bbox for segment in record.segments], dtype=torch.float32).view(-1, 4)
        area = torch.tensor([segment.area for segment in record.segments], dtype=torch.float32)
        named = [label_rows[segment.category] for segment in record.segments]
        segments.append(BoxSegments.of(named, boxes, area, (record.width, record.height)))
    return segments


class BoxTraining:
    """The data of one training: labels and boxes, triples, losses, and the validation records."""

    def __init__(
        self,
        model: BoxRelationModel,
        index: LabelIndex,
        dataset: Dataset,
        records: Sequence[Record],
        losses: RelationLossConfig,
        mirrored: float = 0.5,
    ) -> None:
        """mirrored: the share of images that are learned from mirrored."""
        self.model, self.dataset, self.weights, self.mirrored = model, dataset, losses.weights, mirrored
        train, validation = validation_split(list(records))
        self.train = train
        # In the order of their sizes: a batch is padded to the pairs of its largest image.
        self.validation = sorted(validation or train, key=lambda record: len(record.segments))
        self.device = next(model.parameters()).device
        self.segments = box_segments_of(self.train, index, dataset)  # on the CPU, where each is varied anew every time
        self._validation = moved(box_segments_of(self.validation, index, dataset), self.device)
        self.triples = [
            torch.tensor(record.learned_triples(UNKNOWN), dtype=torch.int64).view(-1, 3) for record in self.train
        ]
        named = torch.cat(self.triples)[:, 2]
        self.counts = torch.bincount(named[named != UNKNOWN], minlength=len(dataset.predicates))  # (P,)
        counts = self.counts.to(self.device)
        self.imbalance = Imbalance.of(counts, losses.logit_adjustment, losses.reweighting)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The learned records' indices in batches of images with about as many segments."""
        return grouped_batches([bisect(SIZES, len(record.segments)) for record in self.train], batch_size, seed, epoch)

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """The terms of relations for a batch of images, each seen a little differently every time."""
        self.model.train()
        segments, triples = varied([self.segments[i] for i in batch], [self.triples[i] for i in batch], self.mirrored)
        nodes, words = self.model.nodes(moved(segments, self.device)), self.model.words
        return relation_losses(
            self.model.heads, nodes, triples, None, words.predicates, self.weights, self.imbalance, PAIRS
        )

    def validate(self) -> Row:
        """R@20, mR@20, PR@20 and PS@20 of the validation records; ``score`` = R@20 + mR@20 chooses the best epoch."""
        answers = self._answers()
        (row,) = self._metrics(answers, (0.0,))
        selected = mean_selected_recall(
            ((pairs, record.relations) for record, (pairs, _, _) in zip(self.validation, answers, strict=True)), 20
        )
        return {name: row[name] for name in ("R@20", "mR@20", "PR@20")} | {
            "PS@20": selected or 0.0,
            "score": row["R@20"] + row["mR@20"],
        }

    def curve(self, adjustments: Sequence[float] = ADJUSTMENTS) -> list[Row]:
        """Metrics of the validation records for each logit adjustment."""
        return self._metrics(self._answers(), adjustments)

    @torch.no_grad()
    def _answers(self) -> list[Answer]:
        self.model.eval()
        starts = range(0, len(self.validation), TOGETHER)
        results = (
            result for start in starts for result in self.model.relate(self._validation[start : start + TOGETHER])
        )
        return [
            (scores.pairs.cpu().numpy(), scores.pair_logits.sigmoid().cpu(), scores.predicate_logits.cpu())
            for scores in results
        ]

    def _metrics(self, answers: Sequence[Answer], adjustments: Sequence[float]) -> list[Row]:
        prior = prior_of(self.counts).log()
        rows = []
        for logit_adjustment in adjustments:
            evaluator = Evaluator(self.dataset, at=(20, 50), mode="predcls")
            for record, (pairs, related, logits) in zip(self.validation, answers, strict=True):
                scores = (related[:, None] * (logits - logit_adjustment * prior).softmax(-1)).numpy()
                evaluator.add(record, None, predicted(record, pairs, scores))
            metrics = evaluator.metrics()
            rows.append(
                {"logit_adjustment": logit_adjustment}
                | {name: float(metrics[name] or 0) for name in ("R@20", "R@50", "mR@20", "mR@50", "PR@20")}
            )
        return rows


def varied(
    segments: Sequence[BoxSegments], triples: Sequence[Tensor], mirrored: float
) -> tuple[list[BoxSegments], list[Tensor]]:
    """Segments as another segmenter may find them, a share of images mirrored, and triples (R_i, 3) in their new
    numbering.
    """
    counts = torch.tensor([len(one.boxes) for one in segments])
    starts, image = counts.cumsum(0) - counts, torch.arange(len(counts)).repeat_interleave(counts)
    joined = BoxSegments.joined(segments).mirrored(torch.rand(len(counts))[image] < mirrored).jittered(JITTER)
    of, rows = (
        torch.arange(len(triples)).repeat_interleave(torch.tensor([len(rows_of_image) for rows_of_image in triples])),
        torch.cat(list(triples)),
    )
    ends = rows[:, :2] + starts[of, None]
    is_kept = torch.rand(len(image)) >= MISSED
    is_kept[ends.flatten()] = True
    left = torch.zeros_like(counts).index_add(0, image, is_kept.long())
    place = (is_kept.cumsum(0) - 1)[ends] - (left.cumsum(0) - left)[of, None]
    rows_of_image = torch.cat([place, rows[:, 2:]], dim=1)
    return joined.only(is_kept).split(left.tolist()), list(rows_of_image.split([len(one) for one in triples]))


def predicted(record: Record, pairs: np.ndarray, scores: np.ndarray) -> PredictedImage:
    """Rows about a record's own segments: pairs (R, 2), scores (R, P)."""
    sure = np.ones(len(record.segments))
    categories = np.array([segment.category for segment in record.segments], np.int64)
    return PredictedImage(record.image_id, categories, sure, ranked(pairs, scores, sure))
