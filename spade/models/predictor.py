"""The trained model as one object: an image goes in, a scene graph comes out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade.core.errors import SpadeError
from spade.core.settings import one_of
from spade.data.images import open_image
from spade.diffusion.student import Student
from spade.models.config import UNSEEN_ODDS
from spade.models.denoised_pairs import told_apart
from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.models.heads import Heads
from spade.models.images import ImageLike, each, image_name, is_many
from spade.models.naming import NameScorer
from spade.models.segmented_image import SegmentedImage, cell_masks, scene_graph_of
from spade.relations.nodes import Nodes
from spade.segmentation.boxes import found_boxes
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.matching import mask_dice, match_queries
from spade.segmentation.panoptic import PanopticSegment, panoptic_map
from spade.structures.regions import BoxRegions, MapRegions, Regions
from spade.structures.scene_graph import Prediction, SceneGraph, best_relations, check_limits
from spade.structures.vocabulary import Vocabulary, all_different, extended
from spade.structures.vocabulary_file import VocabularyLike, given_vocabulary


class SceneGraphPredictor:
    """Images to scene graphs, for any vocabulary. Safe to call from several threads: they take turns.

    fusion: exponent of the diffusion branch; below 1 OpenCLIP's view of the segments, and of pairs' unions, has the
    rest. unseen_odds: of names that training did not have (spade.open_vocabulary.unseen_names); 0 scores them by their
    text alone, as if training had had them. denoised_pairs: of an image, whose unseen predicates are told apart by
    denoising (spade.models.denoised_pairs).
    """

    def __init__(
        self,
        student: Student,
        heads: Heads,
        vocabulary: Vocabulary,
        facts: dict[str, Any],
        fusion: float = 1.0,
        unseen_odds: float = UNSEEN_ODDS,
        denoised_pairs: int = 0,
    ) -> None:
        self.student, self.vocabulary, self.facts, self.fusion = student, vocabulary, facts, fusion
        self.unseen_odds, self.gated = unseen_odds, True  # gated: sure classifiers give unseen names nothing
        self.denoised_pairs = denoised_pairs
        self.heads = heads.to(student.backbone.device).eval()
        self.encoded: EncodedVocabulary | None = None  # the last vocabulary, or one that was encoded before
        # Hooks and processors of the UNet, and the encoded vocabulary, serve one image at a time.
        self._turn = threading.RLock()

    @overload
    def __call__(
        self, image: ImageLike, vocabulary: VocabularyLike | None = None, top: int = 20, min_score: float = 0.1
    ) -> SceneGraph: ...

    @overload
    def __call__(
        self,
        image: Iterable[ImageLike],
        vocabulary: VocabularyLike | None = None,
        top: int = 20,
        min_score: float = 0.1,
        errors: str = "raise",
    ) -> Iterator[SceneGraph]: ...

    def __call__(
        self,
        image: ImageLike | Iterable[ImageLike],
        vocabulary: VocabularyLike | None = None,
        top: int = 20,
        min_score: float = 0.1,
        errors: str = "raise",
    ) -> SceneGraph | Iterator[SceneGraph]:
        """The scene graph of an image, with at most ``top`` relations of at least ``min_score``; of several images, in
        a list or by a folder's or a glob's name, their graphs one after the other.

        image: what ``spade.data.images.open_image`` takes, or several of them. vocabulary: a vocabulary file's path, a
        list of labels, or a Vocabulary; None for the training list. errors: "raise", or "skip" for images that cannot
        be read, of which warnings tell. Raises SpadeError for what cannot be used.
        """
        check_limits(top, min_score)
        one_of("errors", errors, "raise", "skip")
        chosen = None if vocabulary is None else self._vocabulary(vocabulary)
        if is_many(image):
            return each(image, lambda one: self._graph(one, chosen, top, min_score), errors == "skip")
        return self._graph(image, chosen, top, min_score)

    def _graph(self, image: ImageLike, vocabulary: Vocabulary | None, top: int, min_score: float) -> SceneGraph:
        opened = open_image(image)
        graph = self.predict(opened, vocabulary, top, min_score).graph
        return replace(graph, file_name=image_name(image), image=opened)

    def predict(
        self, image: ImageLike, vocabulary: VocabularyLike | None = None, top: int = 20, min_score: float = 0.1
    ) -> Prediction:
        """The scene graph and the score vectors of all pairs that were decoded."""
        with self._turn:
            return self.relate(self.segment(image, vocabulary), top, min_score)

    @torch.no_grad()
    def segment(self, image: ImageLike, vocabulary: VocabularyLike | None = None) -> SegmentedImage:
        """The segments of an image, found and named."""
        with self._turn:
            opened = open_image(image)
            encoded = self._encode(self._vocabulary(vocabulary))
            latents, proposals, classes, attention = self._propose(opened, encoded)
            cells, masks = self._cells(opened, encoded), proposals.masks[-1][0]
            probabilities = self.names.regions(
                classes, proposals.queries[-1][0], masks.float().sigmoid(), cells, attention, encoded
            )
            regions: Regions
            if proposals.boxes:
                regions, segments = found_boxes(proposals.boxes[-1][0], probabilities, opened.size)
            else:
                numbers, segments = panoptic_map(masks, probabilities, encoded.is_thing, opened.size)
                regions = MapRegions(numbers, len(segments))
            return SegmentedImage(image_name(image), regions, segments, encoded, proposals, cells, latents)

    @torch.no_grad()
    def encode_segments(
        self,
        image: ImageLike,
        regions: Regions | np.ndarray,
        categories: Sequence[int],
        vocabulary: VocabularyLike | None = None,
    ) -> SegmentedImage:
        """Segments that are given (predicate classification): their order and labels stay.

        ``regions``: where they are, or a map (H, W) with n where the n-th is, counted from 1; ``categories`` (N,) are
        indices into the vocabulary. A segment is described by the proposal that stands for it as in training: one
        each, by mask and name; of more segments than there are proposals, the surplus by those that cover it best.
        """
        opened = open_image(image)
        if isinstance(regions, np.ndarray):
            regions = MapRegions(regions.astype(np.int64), len(categories))
        if (size := regions.size) != opened.size:
            raise SpadeError(f"given segments are {size[0]} x {size[1]}, the image {opened.width} x {opened.height}.")
        with self._turn:
            encoded = self._encode(self._vocabulary(vocabulary))
            latents, proposals, classes, _ = self._propose(opened, encoded)
            masks = proposals.masks[-1][0]
            given = cell_masks(regions, masks)
            best = match_queries(masks, classes, given, torch.tensor(categories, dtype=torch.int64))
            covering = mask_dice(masks, given).argmax(0)
            chosen = torch.where(best < 0, covering, best).tolist()
            found = [PanopticSegment(int(c), 1.0, query) for c, query in zip(categories, chosen, strict=True)]
            cells = self._cells(opened, encoded)
            return SegmentedImage(image_name(image), regions, found, encoded, proposals, cells, latents, found=False)

    def relate_segments(
        self,
        image: ImageLike,
        segments: SceneGraph,
        vocabulary: VocabularyLike | None = None,
        top: int = 20,
        min_score: float = 0.1,
    ) -> Prediction:
        """Relations between segments that are given as a graph: its segments and panoptic map, or boxes, stay.

        vocabulary: the list under which the image is looked at; labels that it lacks are added to it. A label that is a
        thing in one segment and stuff in another is one name.
        """
        listed, known = extended(self._vocabulary(vocabulary), [(s.label, s.is_thing) for s in segments.segments])
        regions: Regions
        if segments.panoptic is None:
            regions = BoxRegions.of([s.bbox for s in segments.segments], (segments.width, segments.height))
        else:
            regions = MapRegions.of_ids(segments.panoptic, [segment.id for segment in segments.segments])
        with self._turn:
            encoded = self.encode_segments(image, regions, [known[s.label] for s in segments.segments], listed)
            prediction = self.relate(encoded)
        relations = best_relations(
            segments.segments, prediction.pairs, prediction.scores, listed.predicates, top, min_score
        )
        graph = replace(segments, relations=relations, predicates=listed.predicates, model=self.facts)
        return replace(prediction, graph=graph)

    @torch.no_grad()
    def relate(self, segmented: SegmentedImage, top: int = 20, min_score: float = 0.0) -> Prediction:
        """Relations between the segments of an image."""
        with self._turn:
            pairs, related, predicates = self._relations(segmented)
        scores = related[:, None] * predicates
        graph = scene_graph_of(segmented, pairs, scores, self.facts, top, min_score)
        merged = segmented.found and not segmented.proposals.boxes
        proposals = (segmented.proposals.masks[-1][0] > 0).cpu().numpy() if merged else None
        return Prediction(graph, pairs, scores, 1 - related, proposals)

    def _propose(
        self, image: Image.Image, encoded: EncodedVocabulary
    ) -> tuple[Tensor, Proposals, Tensor, Tensor | None]:
        """Latents (1, D, h, w), proposals, of their last layer only, class logits (Q, C + 1), and attention to all
        names (C + P, h, w).
        """
        image_code = self.student.encode(image)
        seen = self.student.extract(image_code, encoded.context)
        proposals, classes = self.heads.proposer(seen.features, encoded.objects, seen.attention)
        attention = None if seen.attention is None else seen.attention[0]
        return image_code.latents, proposals.last(), classes[-1][0], attention

    def _cells(self, image: Image.Image, encoded: EncodedVocabulary) -> Tensor | None:
        """OpenCLIP's embeddings, where they are asked for."""
        unseen = not (encoded.is_seen_objects.all() and encoded.is_seen_predicates.all())
        wanted = self.fusion < 1 or (unseen and self.heads.regions is not None and self.unseen_odds > 0)
        return self.student.clip.embed_cells(image) if wanted else None

    @property
    def names(self) -> NameScorer:
        """How names are scored, with the options as they are now."""
        return NameScorer(self.heads, self.student.clip, self.fusion, self.unseen_odds, self.gated)

    def _vocabulary(self, vocabulary: VocabularyLike | None) -> Vocabulary:
        if vocabulary is None:
            return self.vocabulary
        chosen = vocabulary if isinstance(vocabulary, Vocabulary) else given_vocabulary(vocabulary, self.vocabulary)
        for names, what in ((chosen.names, "label"), (chosen.predicates, "predicate")):
            if not names:
                raise SpadeError(f"vocabulary: holds no {what}; give at least one.")
            all_different(names, what, "vocabulary")
        return chosen

    def _relations(self, segmented: SegmentedImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (R, 2), P(pair) (R,) and P(predicate | pair) (R, P)."""
        encoded, proposals, segments = segmented.vocabulary, segmented.proposals, segmented.segments
        if len(segments) < 2:
            count = len(encoded.vocabulary.predicates)
            return np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.zeros((0, count), np.float32)
        masks = cell_masks(segmented.regions, proposals.pixels)
        label = encoded.objects[[segment.category for segment in segments]]
        query, config = proposals.queries[-1][0][[s.query for s in segments]], self.heads.relations.config
        boxes = torch.from_numpy(segmented.regions.relative_boxes()).float().to(masks.device)
        nodes = Nodes.of(query, proposals.pixels[0], label, masks, boxes, config)
        texts = torch.cat([encoded.predicates, encoded.other_seen_predicates])
        (result,) = self.heads.relations.relate([nodes], proposals.memory, texts, positions=proposals.positions)
        related = result.pair_logits.sigmoid()
        predicates = self.names.pairs(result.predicate_logits, result.pairs, masks, segmented.cells, encoded)
        if self.denoised_pairs:
            labels = [encoded.vocabulary.objects[segment.category].name for segment in segments]
            predicates = told_apart(
                *(self.student.backbone, segmented.latents, labels, boxes, result.pairs, related, predicates),
                *(encoded.vocabulary.predicates, encoded.is_seen_predicates, self.denoised_pairs),
            )
        return result.pairs.cpu().numpy(), related.float().cpu().numpy(), predicates.float().cpu().numpy()

    def _encode(self, vocabulary: Vocabulary) -> EncodedVocabulary:
        if self.encoded is None or self.encoded.vocabulary != vocabulary:
            self.encoded = EncodedVocabulary.of(vocabulary, self.vocabulary, self.student)
        return self.encoded
