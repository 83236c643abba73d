"""The Python API: load a model, call it on a picture, get a scene graph.

import spade
model = spade.load()
graph = model("photo.jpg")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from spade.core.errors import SpadeError
from spade.data.images import read_image, upright_rgb
from spade.diffusion.student import Student
from spade.models.config import UNSEEN_ODDS
from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.models.heads import Heads
from spade.open_vocabulary.text_classifier import fuse
from spade.open_vocabulary.unseen_names import gate_odds, mix_seen_unseen, pair_evidence, region_evidence
from spade.relations.nodes import Nodes
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.matching import mask_dice, match_queries
from spade.segmentation.panoptic import PanopticSegment, panoptic_map
from spade.structures.panoptic_png import spread_id
from spade.structures.scene_graph import Prediction, SceneGraph, Segment, best_relations
from spade.structures.segment_map import relative_boxes, segment_geometry
from spade.structures.vocabulary import Vocabulary, all_different, named_label, parse_label, user_vocabulary

Picture = str | Path | Image.Image | np.ndarray
VocabularyLike = Vocabulary | str | Path | Sequence[str]


@dataclass(frozen=True)
class SegmentedImage:
    """The first half of the way: a picture's segments, before anything is said of their relations.

    ``numbers`` (H, W) holds n where the n-th of ``segments`` is, counted from 1, and 0 elsewhere.
    """

    name: str
    numbers: np.ndarray
    segments: list[PanopticSegment]
    words: EncodedVocabulary
    proposals: Proposals
    attention: Tensor | None  # to the predicates (P, h, w)
    cells: Tensor | None  # OpenCLIP's embeddings (D, h, w), where it has a say

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        others = sum(t.numel() * t.element_size() for t in (self.attention, self.cells) if t is not None)
        return self.numbers.nbytes + others + self.proposals.bytes


class SceneGraphPredictor:
    """Pictures to scene graphs, for any vocabulary.

    fusion: exponent of the diffusion branch; below 1 OpenCLIP's view of the segments, and of pairs' unions, has the
    rest.
    odds: of names that training did not have (spade.novel_names); 0 scores them by their text alone, as if training had
    had them. They are multiplied by the classifier's doubt, unless the attribute ``sure_gives`` says that sure ones are
    to give a share as well.
    """

    def __init__(
        self,
        student: Student,
        heads: Heads,
        vocabulary: Vocabulary,
        facts: dict[str, Any],
        fusion: float = 1.0,
        odds: float = UNSEEN_ODDS,
    ) -> None:
        self.student, self.vocabulary, self.facts, self.fusion, self.odds = student, vocabulary, facts, fusion, odds
        self.sure_gives = False
        self.heads = heads.to(student.backbone.device).eval()
        self._words: EncodedVocabulary | None = None

    def __call__(
        self, image: Picture, vocabulary: VocabularyLike | None = None, top: int = 20, min_score: float = 0.1
    ) -> SceneGraph:
        """The scene graph of a picture, with at most ``top`` relations of at least ``min_score``.

        image: a path, a PIL image, or (H, W, 3) uint8. vocabulary: a vocabulary file's path, a list of labels, or a
        Vocabulary; nothing for the training list. Raises SpadeError for what cannot be read.
        """
        return self.predict(image, vocabulary, top, min_score).graph

    @torch.no_grad()
    def predict(
        self, image: Picture, vocabulary: VocabularyLike | None = None, top: int = 20, min_score: float = 0.1
    ) -> Prediction:
        """The scene graph and the score vectors of all pairs that were looked at."""
        return self.relate(self.look(image, vocabulary), top, min_score)

    @torch.no_grad()
    def look(self, image: Picture, vocabulary: VocabularyLike | None = None) -> SegmentedImage:
        """The segments of a picture, found and named."""
        picture = _opened(image)
        words = self._known(self._vocabulary(vocabulary))
        proposals, classes, attention = self._propose(picture, words)
        cells, masks = self._cells(picture, words), proposals.masks[-1][0]
        probabilities = self._regions_named(
            classes, proposals.queries[-1][0], masks.float().sigmoid(), cells, attention, words
        )
        numbers, found = panoptic_map(masks, probabilities, words.is_thing, picture.size)
        return SegmentedImage(_name(image), numbers, found, words, proposals, _of_predicates(attention, words), cells)

    @torch.no_grad()
    def encode_segments(
        self, image: Picture, numbers: np.ndarray, categories: Sequence[int], vocabulary: VocabularyLike | None = None
    ) -> SegmentedImage:
        """Segments that are given (predicate classification): their order and labels stay.

        ``numbers`` (H, W) holds n where the n-th segment is, counted from 1, and 0 elsewhere; ``categories`` (N,) are
        indices into the vocabulary. A segment is described by the proposal that stands for it as in training: one each,
        by mask and name; of more segments than there are proposals, the surplus by those that cover it best.
        """
        picture = _opened(image)
        if numbers.shape != (picture.height, picture.width):
            raise SpadeError(
                f"given segments are {numbers.shape[1]} x {numbers.shape[0]}, the picture {picture.width} x "
                f"{picture.height}."
            )
        words = self._known(self._vocabulary(vocabulary))
        proposals, classes, attention = self._propose(picture, words)
        numbers, masks = numbers.astype(np.int64), proposals.masks[-1][0]
        given = _masks(numbers, len(categories), masks)
        best = match_queries(masks, classes, given, torch.tensor(categories, dtype=torch.int64))
        covering = mask_dice(masks, given).argmax(0)
        chosen = torch.where(best < 0, covering, best).tolist()
        found = [PanopticSegment(int(category), 1.0, query) for category, query in zip(categories, chosen, strict=True)]
        return SegmentedImage(
            _name(image),
            numbers,
            found,
            words,
            proposals,
            _of_predicates(attention, words),
            self._cells(picture, words),
        )

    def relate_segments(
        self,
        image: Picture,
        segments: SceneGraph,
        vocabulary: VocabularyLike | None = None,
        top: int = 20,
        min_score: float = 0.1,
    ) -> Prediction:
        """Relations between segments that are given as a graph: its segments and panoptic map stay.

        vocabulary: the list under which the picture is looked at; labels that it lacks are added to it.
        """
        whole = self._vocabulary(vocabulary)
        known = {label.name: number for number, label in enumerate(whole.objects)}
        more = [replace(named_label(s.label), is_thing=s.is_thing) for s in segments.segments if s.label not in known]
        known |= {label.name: len(whole.objects) + number for number, label in enumerate(dict.fromkeys(more))}
        words = Vocabulary((*whole.objects, *dict.fromkeys(more)), whole.predicates)
        numbers = np.zeros(segments.panoptic.shape, np.int64)
        for number, segment in enumerate(segments.segments, 1):
            numbers[segments.panoptic == segment.id] = number
        found = self.relate(self.encode_segments(image, numbers, [known[s.label] for s in segments.segments], words))
        relations = best_relations(segments.segments, found.pairs, found.scores, words.predicates, top, min_score)
        return replace(
            found, graph=replace(segments, relations=relations, predicates=words.predicates, model=self.facts)
        )

    @torch.no_grad()
    def relate(self, seen: SegmentedImage, top: int = 20, min_score: float = 0.0) -> Prediction:
        """The second half of the way: relations between the segments of a picture."""
        pairs, related, predicates = self._relations(seen)
        scores = related[:, None] * predicates
        graph = _graph(seen, pairs, scores, self.facts, top, min_score)
        return Prediction(graph, pairs, scores, 1 - related)

    def _propose(self, picture: Image.Image, words: EncodedVocabulary) -> tuple[Proposals, Tensor, Tensor | None]:
        """Proposals, of their last layer only, class logits (Q, C + 1), and attention to all names (C + P, h, w)."""
        sight = self.student.see(self.student.observe(picture), words.context)
        proposals, classes = self.heads.proposer(sight.features, words.objects, sight.attention)
        return proposals.last(), classes[-1][0], None if sight.attention is None else sight.attention[0]

    def _cells(self, picture: Image.Image, words: EncodedVocabulary) -> Tensor | None:
        """OpenCLIP's embeddings, where they are asked for."""
        new = not (words.is_seen_objects.all() and words.is_seen_predicates.all())
        wanted = self.fusion < 1 or (new and self.heads.regions is not None and self.odds > 0)
        return self.student.clip.embed_cells(picture) if wanted else None

    def _regions_named(
        self,
        classes: Tensor,
        queries: Tensor,
        masks: Tensor,
        cells: Tensor | None,
        attention: Tensor | None,
        words: EncodedVocabulary,
    ) -> Tensor:
        """Probabilities (Q, C + 1) of names and of nothing for masks (Q, h, w) in [0, 1], from the proposer's logits
        and queries (Q, D).
        """
        probabilities = classes.softmax(-1)
        scores, nothing = probabilities[:, :-1], probabilities[:, -1:]
        if cells is None:
            return probabilities
        if self.fusion < 1:
            scores = fuse(scores, self.student.clip.region_scores(cells, masks, words.objects), self.fusion)
        if self.heads.regions is not None and self.odds > 0:
            evidence = region_evidence(
                self.student.clip, cells, masks, None if attention is None else attention[: len(words.objects)]
            )
            other_seen = self.heads.proposer.classifier(queries, words.other_seen_objects)[:, :-1]
            odds = self._odds(classes[:, :-1], words.is_seen_objects, other_seen)
            scores = mix_seen_unseen(scores, self.heads.regions(evidence, words.objects), words.is_seen_objects, odds)
        return torch.cat([scores, nothing], dim=1)

    def _odds(self, logits: Tensor, is_seen: Tensor, other_seen: Tensor) -> Tensor | float:
        return self.odds if self.sure_gives else self.odds * gate_odds(logits, is_seen, other_seen)

    def _pairs_named(self, logits: Tensor, pairs: Tensor, masks: Tensor, seen: SegmentedImage) -> Tensor:
        """Probabilities (R, P) of predicates for pairs (R, 2) of masks (N, h, w), from the relation heads' logits,
        unasked names last.
        """
        words, clip = seen.words, self.student.clip
        logits, other_seen = logits.tensor_split([len(words.predicates)], dim=1)
        scores = logits.softmax(-1)
        if seen.cells is None:
            return scores
        if self.fusion < 1:
            unions = torch.maximum(masks[pairs[:, 0]], masks[pairs[:, 1]])
            scores = fuse(scores, clip.region_scores(seen.cells, unions, words.predicates), self.fusion)
        if self.heads.pairs is None or self.odds <= 0:
            return scores
        evidence = pair_evidence(clip, seen.cells, masks, pairs, seen.attention)
        odds = self._odds(logits, words.is_seen_predicates, other_seen)
        return mix_seen_unseen(scores, self.heads.pairs(evidence, words.predicates), words.is_seen_predicates, odds)

    def _vocabulary(self, words: VocabularyLike | None) -> Vocabulary:
        chosen = self._chosen(words)
        for names, what in ((chosen.names, "label"), (chosen.predicates, "predicate")):
            if not names:
                raise SpadeError(f"vocabulary: holds no {what}; give at least one.")
            all_different(names, what, "vocabulary")
        return chosen

    def _chosen(self, words: VocabularyLike | None) -> Vocabulary:
        if words is None:
            return self.vocabulary
        if isinstance(words, Vocabulary):
            return words
        if isinstance(words, (str, Path)):
            return user_vocabulary(Path(words), self.vocabulary)
        return Vocabulary(tuple(parse_label(word) for word in words), self.vocabulary.predicates)

    def _relations(self, seen: SegmentedImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (R, 2), P(pair) (R,) and P(predicate | pair) (R, P)."""
        words, proposals, found = seen.words, seen.proposals, seen.segments
        if len(found) < 2:
            return (
                np.zeros((0, 2), np.int64),
                np.zeros(0, np.float32),
                np.zeros((0, len(words.vocabulary.predicates)), np.float32),
            )
        masks = _masks(seen.numbers, len(found), proposals.pixels)
        chosen = [segment.query for segment in found]
        label = words.objects[[segment.category for segment in found]]
        query, config = proposals.queries[-1][0][chosen], self.heads.relations.config
        boxes = relative_boxes(seen.numbers, len(found)).to(masks.device)
        nodes = Nodes.of(query, proposals.pixels[0], label, masks, boxes, config, seen.attention)
        texts = torch.cat([words.predicates, words.other_seen_predicates])
        (result,) = self.heads.relations.relate([nodes], proposals.memory, texts, places=proposals.places)
        related = result.pair_logits.sigmoid()
        predicates = self._pairs_named(result.predicate_logits, result.pairs, masks, seen)
        return result.pairs.cpu().numpy(), related.float().cpu().numpy(), predicates.float().cpu().numpy()

    def _known(self, vocabulary: Vocabulary) -> EncodedVocabulary:
        if self._words is None or self._words.vocabulary != vocabulary:
            self._words = EncodedVocabulary.of(vocabulary, self.vocabulary, self.student)
        return self._words


def _of_predicates(attention: Tensor | None, words: EncodedVocabulary) -> Tensor | None:
    return None if attention is None else attention[len(words.objects) :]


def _opened(image: Picture) -> Image.Image:
    return read_image(Path(image)) if isinstance(image, (str, Path)) else upright_rgb(image)


def _name(image: Picture) -> str:
    return Path(image).name if isinstance(image, (str, Path)) else ""


def _masks(numbers: np.ndarray, count: int, like: Tensor) -> Tensor:
    """Masks (N, h, w) in [0, 1] of the segments 1 .. N of a map (H, W), at the size of ``like`` (.., h, w)."""
    place = torch.from_numpy(numbers).to(like.device)
    size = (like.shape[-2], like.shape[-1])
    # One at a time: whole masks of many segments of a photograph would fill the memory.
    masks = [interpolate((place == n + 1)[None, None].float(), size=size, mode="area")[0] for n in range(count)]
    return torch.cat(masks) if masks else like.new_zeros((0, *size))


def _graph(
    seen: SegmentedImage, pairs: np.ndarray, scores: np.ndarray, facts: dict[str, Any], top: int, min_score: float
) -> SceneGraph:
    found, panoptic, vocabulary = seen.segments, seen.numbers, seen.words.vocabulary
    identities = np.array([0, *(spread_id(n) for n in range(len(found)))], np.uint32)
    ids = identities[panoptic]
    segments = []
    for number, item in enumerate(found):
        label = vocabulary.objects[item.category]
        box, area = segment_geometry(panoptic, number + 1)
        identity = int(identities[number + 1])
        segments.append(
            Segment(identity, label.name, item.category, label.is_thing, item.score, box, area, label.supercategory)
        )
    relations = best_relations(segments, pairs, scores, vocabulary.predicates, top, min_score)
    height, width = panoptic.shape
    return SceneGraph(
        seen.name, width, height, tuple(segments), relations, vocabulary.names, vocabulary.predicates, ids, facts
    )
