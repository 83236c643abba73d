"""Relation heads straight on a student's features, for given segments: what a calibration is worth, without a mask
generator for each.

Predicates that training did not have are scored by OpenCLIP's view of a pair and by where this student looks, which
models no longer heed (docs/results/open-names.md): what a calibration is worth for them has to show there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.relations.encoders import student
from benchmarks.relations.generators import learn
from benchmarks.relations.parts import measured
from benchmarks.relations.rows import full
from benchmarks.relations.scenes import Place
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_regions
from spade.diffusion.backbone_files import TINY
from spade.diffusion.student import Student
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import PredictedImage
from spade.evaluation.scoring.rows import ranked
from spade.models.build import build_relation_head
from spade.models.config import UNSEEN_ODDS
from spade.open_vocabulary.clip import OpenClip
from spade.open_vocabulary.unseen_names import (
    UnseenScorer,
    ZeroShotEvidence,
    gate,
    mix_seen_unseen,
    pair_evidence,
    trained_names,
)
from spade.relations.config import RelationHeadConfig
from spade.relations.head import RelationScores
from spade.relations.losses import relation_losses
from spade.relations.mask_geometry import mask_boxes, pool
from spade.relations.nodes import Nodes
from spade.segmentation.mask_generator import cell_positions
from spade.segmentation.matching import shrink_masks
from spade.training.loop import Row
from spade.training.split import TrainingImages
from spade.training.targets import annotation

VALIDATION_AT, WIDTH = TINY.validate_at, RelationHeadConfig(**TINY.relation_head).width
FINE, COARSE = (32, 32), 3  # the grid of the masks; levels that pairs look at
COARSE_POWERS = (3, 4, 5)  # of two: their strides
FITTED = 300  # training images from which the few weights of untrained evidence come


@dataclass(frozen=True)
class Given:
    """A record's segments with features (N, C) under each, its triples (R, 3), tokens of the coarse levels (1, T, C')
    and their positional encodings.

    Where untrained evidence is asked for: masks (N, h, w), OpenCLIP's cells, and attention to the predicates (P, h',
    w'), if any.
    """

    nodes: Nodes
    triples: Tensor
    memory: Tensor
    positions: Tensor
    views: tuple[Tensor, Tensor, Tensor | None] | None = None

    def evidence(self, clip: OpenClip, pairs: Tensor) -> ZeroShotEvidence:
        """Of pairs (R, 2)."""
        assert self.views is not None, "made without"
        masks, cells, said = self.views
        return pair_evidence(clip, cells, masks, pairs, said)


class OnFeatures(nn.Module):
    """Relation heads whose nodes and memory are linear in the features; learned with them."""

    def __init__(self, channels: int, memory: int, clip_dim: int) -> None:
        super().__init__()
        self.relations = build_relation_head(full("closed").method.relations, clip_dim)
        self.query, self.pixels = (nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, WIDTH)) for _ in range(2))
        self.memory = nn.Linear(memory, WIDTH)

    def relate(
        self,
        images: Sequence[Nodes],
        memory: Tensor,
        predicates: Tensor,
        pairs: Sequence[Tensor] | None,
        positions: Tensor,
    ) -> list[RelationScores]:
        """As the relation heads', on raw features."""
        nodes = [Nodes(self.query(n.pooled), self.pixels(n.pooled), n.label, n.boxes, n.area) for n in images]
        return self.relations.relate(nodes, self.memory(memory.float()), predicates, pairs, positions)


def given_segments(
    seer: Student,
    dataset: Dataset,
    records: Sequence[Record],
    objects: Tensor,
    viewed: int = 0,
    pixels: bool = False,
) -> list[Given]:
    """What a student's features say of annotated segments; of the first ``viewed`` records with untrained evidence.
    pixels: the only level is the image itself, for heads with an encoder of their own; pooled are then masks.
    """
    labels = seer.label_context(dataset.vocabulary)
    found: list[Given] = []
    for record in records:
        image = read_image(dataset.image_path(record))
        seen = seer.extract(seer.encode(image), labels)
        truth = annotation(record, annotated_regions(dataset, record), seer.size_for(*image.size))
        masks = shrink_masks(truth.masks.float(), FINE)
        if pixels:
            pooled, memory = masks, seen.features[0]
            grids = tuple((memory.shape[-2] >> power, memory.shape[-1] >> power) for power in COARSE_POWERS)
        else:
            levels = [interpolate(level, size=FINE, mode="bilinear", align_corners=False)[0] for level in seen.features]
            pooled = torch.cat([pool(level, masks) for level in levels], dim=1)
            memory = tokens_of(seen.features[-COARSE:]).half()  # to be small
            grids = tuple((level.shape[-2], level.shape[-1]) for level in seen.features[-COARSE:])
        label = objects[truth.classes]
        views = None
        if len(found) < viewed:
            said = None if seen.attention is None else seen.attention[0, len(objects) :]
            views = truth.masks.float(), seer.clip.embed_cells(image), said
        nodes = Nodes(pooled, pooled, label, mask_boxes(truth.masks.float()), masks.mean(dim=(1, 2)))
        found.append(Given(nodes, truth.triples, memory, cell_positions(grids, WIDTH), views))
    return found


def tokens_of(levels: Sequence[Tensor]) -> Tensor:
    """Levels (B, C_i, h_i, w_i) as tokens (B, T, sum of C_i), each in channels of its own."""
    total, start, rows = sum(level.shape[1] for level in levels), 0, []
    for level in levels:
        row = level.flatten(2).transpose(1, 2)
        wide = row.new_zeros((len(row), row.shape[1], total))
        wide[..., start : start + level.shape[1]] = row
        rows.append(wide)
        start += level.shape[1]
    return torch.cat(rows, dim=1)


def calibration(job: tuple[Place, Any, str, tuple[int, ...]]) -> list[list[tuple[dict[str, str], dict]]]:
    """Held-out metrics in predcls, one list a seed, of heads on the features of a variant of the student (None: raw).

    A seed is that of the student's own training, too; the raw UNet is one.
    """
    place, variant, setting, seeds = job
    whole = place.dataset(setting)
    dataset, clip = whole.for_training(), student(place, None).clip
    images = TrainingImages(student(place, None), dataset.split("train"))
    objects, predicates = (
        clip.embed_labels(dataset.vocabulary.objects),
        clip.embed_predicates(dataset.vocabulary.predicates),
    )
    fitted = min(FITTED, len(images.train))
    every = clip.embed_labels(whole.vocabulary.objects), clip.embed_predicates(whole.vocabulary.predicates)
    records = whole.split("test")
    weights = full(setting).method.losses.weights
    learned = trained_names([(p,) for p in whole.vocabulary.predicates], [(p,) for p in dataset.vocabulary.predicates])
    seen: list[Given] = []
    out = []
    for seed in seeds:
        if variant is not None or not seen:
            seer = student(place, variant, seed)
            seen = given_segments(seer, dataset, images.records, objects, fitted)
            tested = given_segments(seer, whole, records, every[0], len(records))
            untrained = UnseenScorer(clip.dim, 2)
            evidence = ZeroShotEvidence.joined([g.evidence(clip, g.triples[:, :2]) for g in seen[:fitted]])
            untrained.fit(evidence, predicates, torch.cat([g.triples[:, 2] for g in seen[:fitted]]))
        torch.manual_seed(seed)
        heads = OnFeatures(seen[0].nodes.pooled.shape[1], seen[0].memory.shape[2], clip.dim)

        def losses(batch: Sequence[int], heads: OnFeatures = heads, seen: list[Given] = seen) -> dict[str, Tensor]:
            images_of = [seen[i] for i in batch]
            nodes, triples = [image.nodes for image in images_of], [image.triples for image in images_of]
            memory, positions = torch.cat([image.memory for image in images_of]), images_of[0].positions
            return relation_losses(heads, nodes, triples, memory, predicates, weights, positions=positions)  # type: ignore[arg-type]

        def validate(heads: OnFeatures = heads, seen: list[Given] = seen) -> Row:
            evaluator = Evaluator(dataset, at=(VALIDATION_AT,), mode="predcls")
            for i in images.validation:
                pairs, related, logits = scored(heads, seen[i], predicates)
                evaluator.add(
                    images.records[i],
                    None,
                    predicted_image(images.records[i], pairs, related[:, None] * logits.softmax(-1)),
                )
            metrics = evaluator.metrics()
            return {"score": float(metrics[f"R@{VALIDATION_AT}"] or 0) + float(metrics[f"mR@{VALIDATION_AT}"] or 0)}

        def predict(
            index: int, heads: OnFeatures = heads, tested: list[Given] = tested, scores: UnseenScorer = untrained
        ) -> PredictedImage:
            pairs, related, logits = scored(heads, tested[index], every[1])
            odds = UNSEEN_ODDS * gate(logits, learned, logits[:, :0])
            named = mix_seen_unseen(
                logits.softmax(-1), scores(tested[index].evidence(clip, pairs), every[1]), learned, odds
            )
            return predicted_image(records[index], pairs, related[:, None] * named)

        learn(dict(heads.named_parameters()), images, losses, validate, place.epochs, seed)
        out.append(measured(whole, setting, "predcls", predict))
    return out


@torch.no_grad()
def scored(heads: OnFeatures, seen: Given, predicates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (R, 2), P(pair) (R,) and logits of the predicates (R, P)."""
    heads.eval()
    (result,) = heads.relate([seen.nodes], seen.memory, predicates, None, seen.positions)
    return result.pairs, result.pair_logits.sigmoid(), result.predicate_logits


def predicted_image(record: Record, pairs: Tensor, scores: Tensor) -> PredictedImage:
    """Rows about the annotated segments, which all have pixels in the world."""
    categories = np.array([segment.category for segment in record.segments], np.int64)
    sure = np.ones(len(categories))
    return PredictedImage(record.image_id, categories, sure, ranked(pairs.numpy(), scores.numpy(), sure))
