"""What stage 2 learns from, and what it is watched by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.data.samples import annotated_ids, annotated_numbers
from spade.diffusion.student import ImageFeatures, Student
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.models.heads import Heads
from spade.models.predictor import SceneGraphPredictor, SegmentedImage
from spade.open_vocabulary.unseen_names import ZeroShotEvidence, pair_evidence, region_evidence
from spade.relations.losses import Imbalance, relation_losses
from spade.relations.nodes import Nodes
from spade.relations.pair_selection import mean_selected_recall
from spade.segmentation.losses import mask_loss
from spade.steps.config import RelationsConfig
from spade.training.feature_cache import FeatureCache
from spade.training.joint_losses import annotated_nodes, stage2_losses
from spade.training.loop import Row
from spade.training.split import TrainingImages
from spade.training.targets import Truth, annotation


@dataclass(frozen=True)
class _Shown:
    """What the student sees of a record, and its annotation at the size at which it is seen (masks as bool, to be
    small).
    """

    sight: ImageFeatures
    truth: Truth

    @property
    def bytes(self) -> int:
        return self.sight.bytes + self.truth.masks.numel() + self.truth.unnamed.numel()


@dataclass(frozen=True)
class FrozenProposals:
    """What a frozen mask generator makes of a record: annotated segments as nodes, their triples, and the picture's
    memory (1, T, D).

    Nodes twice: with the annotated masks, and with the generator's own.
    """

    nodes: tuple[Nodes, Nodes]
    triples: Tensor
    memory: Tensor
    places: Tensor  # one for all pictures of a size

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        tensors = [*(t for nodes in self.nodes for t in vars(nodes).values() if isinstance(t, Tensor)), self.memory]
        return sum(t.numel() * t.element_size() for t in tensors)


class RelationTraining:
    """The data of one training: features, truths, losses, and the watched images.

    frozen: the mask generator stays as it is; each picture goes through it once, and only relations are learned.
    """

    def __init__(
        self,
        student: Student,
        heads: Heads,
        dataset: Dataset,
        records: Sequence[Record],
        config: RelationsConfig,
        watch_at: int,
        frozen: bool = False,
    ) -> None:
        self.student, self.heads, self.dataset, self.watch_at, self.frozen = student, heads, dataset, watch_at, frozen
        self.void_counts = config.void == "segments"
        self.given = config.mode == "predcls"
        self.found_masks = 0.5 if config.masks == "both" else 0.0  # share of pictures
        self.weights = {
            "mask": config.mask_weight,
            "rel": config.relation_weight,
            "pair": config.pair_weight,
            "rqc": config.rqc_weight,
        }
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        self.objects = student.clip.embed_labels(vocabulary.objects)
        self.predicates = student.clip.embed_predicates(vocabulary.predicates)
        self.model = SceneGraphPredictor(student, heads, vocabulary, {}, config.fusion)
        learned = [self.images.records[i] for i in self.images.learned]
        told = torch.tensor([p for record in learned for _, _, p in record.training_triples()], dtype=torch.int64)
        self.counts = torch.bincount(told, minlength=len(dataset.predicates)).to(student.backbone.device)  # (P,)
        self.imbalance = Imbalance.of(config.imbalance, self.counts, config.imbalance_strength)
        self.criterion = mask_loss(heads.proposer.decoder_config).to(student.backbone.device)
        self._shown: FeatureCache[_Shown] = FeatureCache(self._show, lambda shown: shown.bytes)
        self._settled: FeatureCache[FrozenProposals] = FeatureCache(self._settle, lambda settled: settled.bytes)
        self._watched: FeatureCache[SegmentedImage] = FeatureCache(self._watch_one, lambda seen: seen.bytes)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is learned."""
        if self.frozen:
            return dict(self.heads.relations.named_parameters(prefix="relations"))
        return dict(self.heads.named_parameters())

    def precompute(self) -> None:
        """Send all learned pictures through the frozen mask generator now, rather than each when it is first asked
        for.
        """
        for index in self.images.learned:
            self._settled[index]

    def settled(self, index: int) -> tuple[tuple[Nodes, Nodes], Tensor]:
        """What the frozen mask generator makes of a picture: nodes on annotated and on found masks, and their triples
        (R, 3).
        """
        own = self._settled[index]
        return own.nodes, own.triples

    @torch.no_grad()
    def fit_unseen_scorers(self, most: int = 300) -> None:
        """Learn from at most so many pictures how far to trust what no annotation has trained, for names that this
        training lacks.
        """
        if self.heads.regions is None or self.heads.pairs is None:
            return
        clip, found = self.student.clip, []
        for record in self.images.records[: len(self.images.learned)][:most]:
            image = read_image(self.dataset.image_path(record))
            truth = annotation(record, annotated_ids(self.dataset, record), self.student.size_for(*image.size)).to(
                self.objects.device
            )
            if not len(truth.masks):
                continue
            cells, sight = clip.embed_cells(image), self.student.see(self.student.observe(image), self.labels)
            names, said = (
                (None, None) if sight.attention is None else sight.attention[0].tensor_split([len(self.objects)])
            )
            pairs = truth.triples[:, :2]
            found.append(
                (
                    region_evidence(clip, cells, truth.masks, names),
                    pair_evidence(clip, cells, truth.masks, pairs, said),
                    truth,
                )
            )
        if not found:
            return
        regions, pairs_, truths = zip(*found, strict=True)
        self.heads.regions.fit(ZeroShotEvidence.joined(regions), self.objects, torch.cat([t.classes for t in truths]))
        self.heads.pairs.fit(
            ZeroShotEvidence.joined(pairs_), self.predicates, torch.cat([t.triples[:, 2] for t in truths])
        )

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """Stage 2's terms for a batch of learned images; those of relations alone where the mask generator is
        frozen.
        """
        relations = self.heads.relations
        found = (torch.rand(len(batch)) < self.found_masks).tolist()
        if self.frozen:
            relations.train()
            settled = [self._settled[i] for i in batch]
            nodes = [s.nodes[own] for s, own in zip(settled, found, strict=True)]
            triples, memory = [s.triples for s in settled], torch.cat([s.memory for s in settled])
            places = settled[0].places
            return relation_losses(
                relations, nodes, triples, memory, self.predicates, self.weights, self.imbalance, places=places
            )
        self.heads.train()
        shown = [self._shown[i] for i in batch]
        device = self.objects.device
        features = [torch.cat(level).to(device) for level in zip(*(s.sight.features for s in shown), strict=True)]
        maps = [s.sight.attention for s in shown if s.sight.attention is not None]
        attention = torch.cat(maps).to(device) if maps else None
        truths = [s.truth.to(device) for s in shown]
        return stage2_losses(
            self.heads,
            self.criterion,
            features,
            attention,
            truths,
            self.objects,
            self.predicates,
            self.weights,
            self.imbalance,
            found,
        )

    def watch(self) -> Row:
        """R@K, mR@K, PR@K and PQ on the watched images; ``score`` = R@K + mR@K chooses the best epoch.

        With given segments also PS@K, the share of annotated pairs among the first K that the pair matrix selects.
        """
        self.heads.eval()
        dataset = self.dataset
        evaluator, selected = Evaluator(dataset, at=(self.watch_at,)), []
        for index in self.images.watched:
            record = self.images.records[index]
            seen = self._watched[index] if self.frozen else self._watch_one(index)
            found = self.model.relate(seen)
            evaluator.add(record, annotated_ids(dataset, record), from_prediction(record.image_id, found))
            selected.append((found.pairs, record.relations))
        figures = evaluator.figures()
        names = (f"R@{self.watch_at}", f"mR@{self.watch_at}", f"PR@{self.watch_at}", "PQ")
        row = {name: float(figures[name] or 0.0) for name in names}
        if self.given:
            row[f"PS@{self.watch_at}"] = mean_selected_recall(selected, self.watch_at) or 0.0
        # PQ breaks ties, and leads while no relation is found yet.
        return row | {"score": row[names[0]] + row[names[1]] + 0.01 * row["PQ"]}

    def _show(self, index: int) -> _Shown:
        record = self.images.records[index]
        image = read_image(self.dataset.image_path(record))
        sight = self.student.see(self.student.observe(image), self.labels)
        return _Shown(
            sight, annotation(record, annotated_ids(self.dataset, record), self.images.size(index), self.void_counts)
        )

    @torch.no_grad()
    def _settle(self, index: int) -> FrozenProposals:
        self.heads.proposer.eval()  # and no more: relations may be learning just now
        shown = self._show(index)
        truth = shown.truth.to(self.objects.device)
        attention, config = shown.sight.attention, self.heads.relations.config
        proposals, classes = self.heads.proposer(shown.sight.features, self.objects, attention)
        args = proposals.last(), classes[-1], [truth], self.objects, config, attention
        ((given,), (triples,)), ((found,), _) = (annotated_nodes(*args, [found]) for found in (False, True))
        return FrozenProposals((given, found), triples, proposals.memory, proposals.places)

    def _watch_one(self, index: int) -> SegmentedImage:
        record, path = self.images.records[index], self.dataset.image_path(self.images.records[index])
        if not self.given:
            return self.model.look(path)
        return self.model.encode_segments(
            path, annotated_numbers(self.dataset, record), [segment.category for segment in record.segments]
        )
