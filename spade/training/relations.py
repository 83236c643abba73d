"""What stage 2 learns from, and how it is validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import ImageOps
from torch import Tensor

from spade.core.progress import Reporter, Silent
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_ids, annotated_regions
from spade.diffusion.student import ImageFeatures, Student
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.evaluation.scoring.protocols import own_protocol
from spade.models.heads import Heads
from spade.models.predictor import SceneGraphPredictor
from spade.models.segmented_image import SegmentedImage
from spade.relations.losses import Imbalance, relation_losses
from spade.relations.nodes import Nodes
from spade.relations.pair_selection import mean_selected_recall
from spade.segmentation.losses import mask_loss
from spade.training.config import MaskTrainingConfig, RelationLossConfig
from spade.training.feature_cache import FeatureCache
from spade.training.joint_losses import annotated_nodes, stage2_losses
from spade.training.loop import Row
from spade.training.split import TrainingImages
from spade.training.targets import Truth, annotation
from spade.training.unseen_scorers import fit_unseen_scorers

# Images on which the scorers of unseen names are fitted; more of them bring no more (benchmarks/relations/probe.py).
MOST_FITTED = 1_200


@dataclass(frozen=True)
class _Sample:
    """An image's features, and its annotation at the size at which it is seen (masks as bool, to be small)."""

    features: ImageFeatures
    truth: Truth

    @property
    def bytes(self) -> int:
        return self.features.bytes + self.truth.masks.numel() + self.truth.unnamed.numel()


@dataclass(frozen=True)
class FrozenProposals:
    """What a frozen mask proposer makes of a record: annotated segments as nodes, their triples (R, 3), and the image's
    memory (1, T, D).

    Nodes twice: with the annotated masks, and with the proposer's own. ``positions``: one for all images of a size.
    """

    nodes: tuple[Nodes, Nodes]
    triples: Tensor
    memory: Tensor
    positions: Tensor

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        tensors = [*(t for nodes in self.nodes for t in vars(nodes).values() if isinstance(t, Tensor)), self.memory]
        return sum(t.numel() * t.element_size() for t in tensors)


def _key(index: int, mirrored: bool) -> int:
    """What the caches know an image by, as it is or mirrored."""
    return 2 * index + mirrored


class RelationTraining:
    """The data of one training: features, targets, losses, and the validation images.

    mode: relations of found segments (sgdet) or of given ones (predcls) choose the best epoch. frozen: the mask
    proposer stays as it is; each image goes through it once, and only relations are learned.
    """

    def __init__(
        self,
        student: Student,
        heads: Heads,
        dataset: Dataset,
        records: Sequence[Record],
        losses: RelationLossConfig,
        masks: MaskTrainingConfig,
        validate_at: int,
        mode: str = "sgdet",
        fusion: float = 1.0,
        frozen: bool = False,
    ) -> None:
        self.student, self.heads, self.dataset, self.frozen = student, heads, dataset, frozen
        self.validate_at, self.segments_given = validate_at, mode == "predcls"
        self.void_counts = masks.unlabeled_regions == "segments"
        self.found_masks = 0.5 if masks.mask_source == "both" else 0.0  # share of images
        self.mirrored = 0.5 if masks.mirrored else 0.0
        self.weights = {"mask": masks.mask_weight, **losses.weights}
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        self.objects = student.clip.embed_labels(vocabulary.objects)
        self.predicates = student.clip.embed_predicates(vocabulary.predicates)
        self.model = SceneGraphPredictor(student, heads, vocabulary, {}, fusion)
        rows = [p for i in self.images.train for _, _, p in self.images.records[i].training_triples()]
        counts = torch.bincount(torch.tensor(rows, dtype=torch.int64), minlength=len(dataset.predicates))
        self.counts = counts.to(student.backbone.device)  # (P,)
        self.imbalance = Imbalance.of(self.counts, losses.logit_adjustment, losses.reweighting)
        self.criterion = mask_loss(heads.proposer.decoder_config).to(student.backbone.device)
        cache = FeatureCache()
        self._samples = cache.view(self._sample, lambda entry: entry.bytes)
        self._proposals = cache.view(self._propose, lambda entry: entry.bytes)
        self._validation = cache.view(self._segment_validation, lambda entry: entry.bytes)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is learned."""
        if self.frozen:
            return dict(self.heads.relations.named_parameters(prefix="relations"))
        return dict(self.heads.named_parameters())

    def precompute(self) -> None:
        """Send all training images through the frozen mask proposer now, rather than each when it is first asked
        for.
        """
        for index in self.images.train:
            for mirrored in (False, True) if self.mirrored else (False,):
                self._proposals[_key(index, mirrored)]

    def proposals(self, index: int) -> FrozenProposals:
        """What the frozen mask proposer makes of an image."""
        return self._proposals[_key(index, False)]

    def fit_unseen_scorers(self, report: Reporter | None = None) -> None:
        """Fit the scorers of unseen names on at most ``MOST_FITTED`` training images."""
        records = [self.images.records[i] for i in self.images.train][:MOST_FITTED]
        texts = self.objects, self.predicates
        shown = (report or Silent()).track(records, "unseen names", len(records))
        fit_unseen_scorers(self.heads, self.student, self.labels, texts, self.dataset, shown)

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """Stage 2's terms for a batch of training images; those of relations alone where the mask proposer is
        frozen.
        """
        relations = self.heads.relations
        on_found_masks = (torch.rand(len(batch)) < self.found_masks).tolist()
        mirrored = (torch.rand(len(batch)) < self.mirrored).tolist() if self.mirrored else [False] * len(batch)
        keys = [_key(index, flag) for index, flag in zip(batch, mirrored, strict=True)]
        if self.frozen:
            relations.train()
            batch_proposals = [self._proposals[key] for key in keys]
            nodes = [proposals.nodes[chosen] for proposals, chosen in zip(batch_proposals, on_found_masks, strict=True)]
            memory, positions = (
                torch.cat([proposals.memory for proposals in batch_proposals]),
                batch_proposals[0].positions,
            )
            return relation_losses(
                relations,
                nodes,
                [proposals.triples for proposals in batch_proposals],
                memory,
                self.predicates,
                self.weights,
                self.imbalance,
                positions=positions,
            )
        self.heads.train()
        samples = [self._samples[key] for key in keys]
        device = self.objects.device
        levels = zip(*(sample.features.features for sample in samples), strict=True)
        maps = [sample.features.attention for sample in samples if sample.features.attention is not None]
        return stage2_losses(
            self.heads,
            self.criterion,
            [torch.cat(level).to(device) for level in levels],
            torch.cat(maps).to(device) if maps else None,
            [sample.truth.to(device) for sample in samples],
            self.objects,
            self.predicates,
            self.weights,
            self.imbalance,
            on_found_masks,
        )

    def validate(self) -> Row:
        """R@K, mR@K, PR@K and PQ on the validation images; ``score`` = R@K + mR@K chooses the best epoch.

        With given segments also PS@K, the share of annotated pairs among the first K that the pair matrix selects.
        """
        self.heads.eval()
        dataset, at = self.dataset, self.validate_at
        evaluator, selected = Evaluator(dataset, own_protocol(dataset), at=(at,)), []
        for index in self.images.validation:
            record = self.images.records[index]
            segmented = self._validation[index] if self.frozen else self._segment_validation(index)
            prediction = self.model.relate(segmented)
            ids = annotated_ids(dataset, record) if evaluator.needs_masks else None
            evaluator.add(record, ids, from_prediction(record.image_id, prediction))
            selected.append((prediction.pairs, record.relations))
        metrics = evaluator.metrics()
        quality = "PQ" if dataset.has_masks else "InstR"  # boxes have no panoptic quality
        names = (f"R@{at}", f"mR@{at}", f"PR@{at}", quality)
        row = {name: float(metrics[name] or 0.0) for name in names}
        if self.segments_given:
            row[f"PS@{at}"] = mean_selected_recall(selected, at) or 0.0
        # What is found breaks ties, and leads while no relation is.
        return row | {"score": row[names[0]] + row[names[1]] + 0.01 * row[quality]}

    def _sample(self, key: int) -> _Sample:
        index, mirrored = divmod(key, 2)
        record = self.images.records[index]
        image, regions = read_image(self.dataset.image_path(record)), annotated_regions(self.dataset, record)
        if mirrored:
            image, regions = ImageOps.mirror(image), regions.mirrored()
        features = self.student.extract(self.student.encode(image), self.labels)
        return _Sample(features, annotation(record, regions, self.images.size(index), self.void_counts))

    @torch.no_grad()
    def _propose(self, key: int) -> FrozenProposals:
        self.heads.proposer.eval()  # and no more: relations may be learning just now
        sample = self._sample(key)
        truth = sample.truth.to(self.objects.device)
        proposals, classes = self.heads.proposer(sample.features.features, self.objects, sample.features.attention)
        args = proposals.last(), classes[-1], [truth], self.objects, self.heads.relations.config
        ((given,), (triples,)), ((found,), _) = (annotated_nodes(*args, [found]) for found in (False, True))
        return FrozenProposals((given, found), triples, proposals.memory, proposals.positions)

    def _segment_validation(self, index: int) -> SegmentedImage:
        record, path = self.images.records[index], self.dataset.image_path(self.images.records[index])
        if not self.segments_given:
            return self.model.segment(path)
        categories = [segment.category for segment in record.segments]
        return self.model.encode_segments(path, annotated_regions(self.dataset, record), categories)
