"""Learns how far to trust what no annotation has trained, for names that training lacks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_regions
from spade.diffusion.student import LabelContext, Student
from spade.models.heads import Heads
from spade.open_vocabulary.unseen_names import ZeroShotEvidence, pair_evidence, region_evidence
from spade.relations.pair_sampling import UNKNOWN
from spade.segmentation.matching import mask_dice, match_queries, match_spare, shrink_masks
from spade.training.targets import Truth, annotation

FITS = 0.5  # Dice coefficient from which a proposal is taken for a region without a name


@torch.no_grad()
def fit_unseen_scorers(
    heads: Heads,
    student: Student,
    labels: LabelContext,
    texts: tuple[Tensor, Tensor],
    dataset: Dataset,
    records: Iterable[Record],
) -> None:
    """Fit the heads' scorers of regions and of pairs, where they have any, on annotated ones of these records, and the
    probe of unknown regions on what the mask proposer finds of regions with and without a name.

    texts: embeddings of objects (C, D) and of predicates (P, D), in the order of the data set's lists.
    """
    if heads.regions is None or heads.pairs is None:
        return
    clip, objects = student.clip, texts[0]
    regions: list[ZeroShotEvidence] = []
    pairs: list[ZeroShotEvidence] = []
    classes: list[Tensor] = []
    predicates: list[Tensor] = []
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for record in records:
        image = read_image(dataset.image_path(record))
        size = student.size_for(*image.size)
        truth = annotation(record, annotated_regions(dataset, record), size, void_counts=True).to(objects.device)
        if not len(truth.masks):
            continue
        cells, seen = clip.embed_cells(image), student.extract(student.encode(image), labels)
        to_objects = None if seen.attention is None else seen.attention[0, : len(objects)]
        regions.append(region_evidence(clip, cells, truth.masks, to_objects))
        triples = truth.triples[truth.triples[:, 2] != UNKNOWN]
        pairs.append(pair_evidence(clip, cells, truth.masks, triples[:, :2]))
        classes.append(truth.classes)
        predicates.append(triples[:, 2])
        if heads.unknown is not None:
            proposals, logits = heads.proposer(seen.features, objects, seen.attention)
            masks, queries = proposals.masks[-1][0], proposals.queries[-1][0]
            chosen, is_unknown = _regions_found(masks, logits[-1][0], truth)
            views = region_evidence(clip, cells, masks[chosen].float().sigmoid(), None).views
            found.append((logits[-1][0][chosen], queries[chosen], views, is_unknown))
    if heads.unknown is not None and found:
        heads.unknown.fit(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    elif heads.unknown is not None:
        heads.unknown.forget()  # what packaged heads knew was of other proposals
    if regions:
        heads.regions.fit(ZeroShotEvidence.joined(regions), objects, torch.cat(classes))
        heads.pairs.fit(ZeroShotEvidence.joined(pairs), texts[1], torch.cat(predicates))


def _regions_found(masks: Tensor, logits: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Proposals (M,) that stand for annotated segments, each for one, and others that cover a region without a name;
    and which those are, (M,) bool. masks (Q, h, w) and logits (Q, C + 1) of one image.
    """
    size = (masks.shape[-2], masks.shape[-1])
    named = match_queries(masks, logits, shrink_masks(truth.masks, size), truth.classes)
    named = named[named >= 0]
    spare, regions = match_spare(masks, named, truth.unnamed)
    fits = mask_dice(masks, shrink_masks(truth.unnamed, size))[spare, regions] > FITS if len(spare) else spare > 0
    chosen = torch.cat([named, spare[fits]])
    return chosen, torch.arange(len(chosen), device=chosen.device) >= len(named)
