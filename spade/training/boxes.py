"""What relations of labels and boxes learn from, and what they are watched by."""

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
from spade.relations.pair_selection import mean_selected_recall
from spade.steps.config import RelationsConfig
from spade.structures.label_index import LabelIndex
from spade.training.loop import Row, grouped_batches
from spade.training.split import validation_split

SIZES = (4, 6, 8, 10, 12, 15, 20, 30)  # pictures with about as many segments share a batch
TOGETHER = 32  # pictures that are watched at once
PAIRS = 32  # ordered pairs a picture that are learned from at once

JITTER, MISSED = (
    0.05,
    0.15,
)  # how far edges of boxes are moved, and how many segments without a relation are left out, while learning

BALANCES = tuple(i / 10 for i in range(11))
Answer = tuple[np.ndarray, Tensor, Tensor]  # of one record: pairs (R, 2), P(pair) (R,), predicate logits (R, P)


def box_segments_of(records: Sequence[Record], table: LabelIndex, dataset: Dataset) -> list[BoxSegments]:
    """Records as labels and boxes."""
    found = [table.find(label) for label in dataset.vocabulary.objects]
    told = [(own.category, own.group, own.is_thing) for own in found]
    layouts = []
    for record in records:
        boxes = torch.tensor([segment.bbox for segment in record.segments], dtype=torch.float32).view(-1, 4)
        area = torch.tensor([segment.area for segment in record.segments], dtype=torch.float32)
        named = [told[segment.category] for segment in record.segments]
        layouts.append(BoxSegments.of(named, boxes, area, (record.width, record.height)))
    return layouts


class BoxTraining:
    """The data of one training: layouts, triples, losses, and the watched records."""

    def __init__(
        self,
        model: BoxRelationModel,
        table: LabelIndex,
        dataset: Dataset,
        records: Sequence[Record],
        config: RelationsConfig,
    ) -> None:
        self.model, self.dataset, self.config = model, dataset, config
        learned, watched = validation_split(list(records))
        self.learned = learned
        # In the order of their sizes: a batch is padded to the pairs of its largest picture.
        self.watched = sorted(watched or learned, key=lambda record: len(record.segments))
        self.device = next(model.parameters()).device
        self.layouts = box_segments_of(self.learned, table, dataset)  # on the CPU, where each is varied anew every time
        self._watched = moved(box_segments_of(self.watched, table, dataset), self.device)
        self.triples = [
            torch.tensor(record.training_triples(), dtype=torch.int64).view(-1, 3) for record in self.learned
        ]
        self.counts = torch.bincount(torch.cat(self.triples)[:, 2], minlength=len(dataset.predicates))  # (P,)
        self.weights = {"rel": config.relation_weight, "pair": config.pair_weight, "rqc": config.rqc_weight}
        self.imbalance = Imbalance.of(config.imbalance, self.counts.to(self.device), config.imbalance_strength)

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The learned records' indices in batches of pictures with about as many segments."""
        return grouped_batches(
            [bisect(SIZES, len(record.segments)) for record in self.learned], batch_size, seed, epoch
        )

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """The terms of relations for a batch of pictures, each seen a little differently every time."""
        self.model.train()
        layouts, triples = varied([self.layouts[i] for i in batch], [self.triples[i] for i in batch])
        nodes, words = self.model.nodes(moved(layouts, self.device)), self.model.words
        return relation_losses(
            self.model.heads, nodes, triples, None, words.predicates, self.weights, self.imbalance, PAIRS
        )

    def watch(self) -> Row:
        """R@20, mR@20, PR@20 and PS@20 of the watched records, as annotated; ``score`` = R@20 + mR@20 chooses the best
        epoch.
        """
        answers = self._answers()
        (row,) = self._figures(answers, (0.0,))
        selected = mean_selected_recall(
            ((pairs, record.relations) for record, (pairs, _, _) in zip(self.watched, answers, strict=True)), 20
        )
        return {name: row[name] for name in ("R@20", "mR@20", "PR@20")} | {
            "PS@20": selected or 0.0,
            "score": row["R@20"] + row["mR@20"],
        }

    def curve(self, balances: Sequence[float] = BALANCES) -> list[Row]:
        """Figures of the watched records for each way to balance frequent predicates against rare ones."""
        return self._figures(self._answers(), balances)

    @torch.no_grad()
    def _answers(self) -> list[Answer]:
        self.model.eval()
        starts = range(0, len(self.watched), TOGETHER)
        found = (result for start in starts for result in self.model.relate(self._watched[start : start + TOGETHER]))
        return [(own.pairs.cpu().numpy(), own.pair_logits.sigmoid().cpu(), own.predicate_logits.cpu()) for own in found]

    def _figures(self, answers: Sequence[Answer], balances: Sequence[float]) -> list[Row]:
        prior = prior_of(self.counts).log()
        rows = []
        for balance in balances:
            evaluator = Evaluator(self.dataset, at=(20, 50), mode="predcls")
            for record, (pairs, related, logits) in zip(self.watched, answers, strict=True):
                scores = (related[:, None] * (logits - balance * prior).softmax(-1)).numpy()
                evaluator.add(record, None, predicted(record, pairs, scores))
            figures = evaluator.figures()
            rows.append(
                {"balance": balance}
                | {name: float(figures[name] or 0) for name in ("R@20", "R@50", "mR@20", "mR@50", "PR@20")}
            )
        return rows


def varied(layouts: Sequence[BoxSegments], triples: Sequence[Tensor]) -> tuple[list[BoxSegments], list[Tensor]]:
    """Layouts as another segmenter may find them, half of them in a mirror, and triples (R_i, 3) in each one's new
    numbering.
    """
    counts = torch.tensor([len(one.boxes) for one in layouts])
    starts, image = counts.cumsum(0) - counts, torch.arange(len(counts)).repeat_interleave(counts)
    every = BoxSegments.joined(layouts).mirrored(torch.rand(len(counts))[image] < 0.5).jittered(JITTER)
    of, rows = (
        torch.arange(len(triples)).repeat_interleave(torch.tensor([len(own) for own in triples])),
        torch.cat(list(triples)),
    )
    ends = rows[:, :2] + starts[of, None]
    kept = torch.rand(len(image)) >= MISSED
    kept[ends.flatten()] = True
    left = torch.zeros_like(counts).index_add(0, image, kept.long())
    place = (kept.cumsum(0) - 1)[ends] - (left.cumsum(0) - left)[of, None]
    own = torch.cat([place, rows[:, 2:]], dim=1)
    return every.only(kept).split(left.tolist()), list(own.split([len(one) for one in triples]))


def predicted(record: Record, pairs: np.ndarray, scores: np.ndarray) -> PredictedImage:
    """Rows about a record's own segments: pairs (R, 2), scores (R, P)."""
    sure = np.ones(len(record.segments))
    categories = np.array([segment.category for segment in record.segments], np.int64)
    return PredictedImage(record.image_id, categories, sure, ranked(pairs, scores, sure))
