"""Learns how far to trust what no annotation has trained, for names that training lacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_ids
from spade.diffusion.student import LabelContext, Student
from spade.models.heads import Heads
from spade.open_vocabulary.unseen_names import ZeroShotEvidence, pair_evidence, region_evidence
from spade.training.targets import annotation


@torch.no_grad()
def fit_unseen_scorers(
    heads: Heads,
    student: Student,
    labels: LabelContext,
    texts: tuple[Tensor, Tensor],
    dataset: Dataset,
    records: Sequence[Record],
) -> None:
    """Fit the heads' scorers of regions and of pairs, where they have any, on annotated ones of these records.

    texts: embeddings of objects (C, D) and of predicates (P, D), in the order of the data set's lists.
    """
    if heads.regions is None or heads.pairs is None:
        return
    clip, objects = student.clip, texts[0]
    regions: list[ZeroShotEvidence] = []
    pairs: list[ZeroShotEvidence] = []
    classes: list[Tensor] = []
    predicates: list[Tensor] = []
    for record in records:
        image = read_image(dataset.image_path(record))
        truth = annotation(record, annotated_ids(dataset, record), student.size_for(*image.size)).to(objects.device)
        if not len(truth.masks):
            continue
        cells, seen = clip.embed_cells(image), student.extract(student.encode(image), labels)
        to_objects, to_predicates = None, None
        if seen.attention is not None:
            to_objects, to_predicates = seen.attention[0].tensor_split([len(objects)])
        regions.append(region_evidence(clip, cells, truth.masks, to_objects))
        pairs.append(pair_evidence(clip, cells, truth.masks, truth.triples[:, :2], to_predicates))
        classes.append(truth.classes)
        predicates.append(truth.triples[:, 2])
    if regions:
        heads.regions.fit(ZeroShotEvidence.joined(regions), objects, torch.cat(classes))
        heads.pairs.fit(ZeroShotEvidence.joined(pairs), texts[1], torch.cat(predicates))
