"""Relations between segments that are already there: a graph without relations goes in, one with relations comes out.

import spade
relate = spade.load_relation_predictor()
graph = relate(segments)
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.core.errors import SpadeError
from spade.open_vocabulary.clip import OpenClip
from spade.relations.boxes import BoxRelationModel, BoxSegments, TextEmbeddings
from spade.structures.label_index import OR, LabelIndex, LabelMatch, refuse_unknown_predicates
from spade.structures.scene_graph import Prediction, SceneGraph, best_relations, check_limits
from spade.structures.vocabulary import Label, Vocabulary

# Pairs (R, 2), P(pair) x P(predicate | pair) (R, P), 1 - P(pair) (R,).
Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


class RelationPredictor:
    """Labels and boxes to relations, by a model that was trained on what people annotated; no image is opened.

    ``prior`` (P,): share of each predicate among the relations it was trained on. ``logit_adjustment``: how much of the
    prior's logarithm is taken off the logits (Menon et al., 2021): 0 finds most relations, more finds rare predicates
    oftener. Safe to call from several threads: they take turns.
    """

    def __init__(
        self,
        model: BoxRelationModel,
        vocabulary: Vocabulary,
        index: LabelIndex,
        prior: Tensor,
        logit_adjustment: float,
        facts: dict[str, Any],
        clip: OpenClip | None = None,
    ) -> None:
        self.model, self.vocabulary, self.index, self.prior = model.eval(), vocabulary, index, prior
        self.logit_adjustment, self.facts, self.clip = logit_adjustment, facts, clip
        self.device = next(model.parameters()).device
        self._label_texts: dict[Label, Tensor] = {}
        self._predicate_rows: tuple[tuple[str, ...], Tensor] | None = None
        self._turn = threading.RLock()  # texts of the labels in use are the model's

    def __call__(
        self, segments: SceneGraph, vocabulary: Vocabulary | None = None, top: int = 20, min_score: float = 0.1
    ) -> SceneGraph:
        """The scene graph with at most ``top`` relations of at least ``min_score``; see ``predict``."""
        return self.predict(segments, vocabulary, top, min_score).graph

    def predict(
        self, segments: SceneGraph, vocabulary: Vocabulary | None = None, top: int = 20, min_score: float = 0.0
    ) -> Prediction:
        """The scene graph and the score vectors of all pairs that were decoded.

        vocabulary: what is known of the segments' labels (synonyms, supercategories; this goes before what segments say
        of their own), and the predicates to choose from. The segments keep the supercategories that were taken; the
        graph's ``model["labels"]`` says what each label that the model does not know by name was taken for. Raises
        SpadeError for a predicate that the model was not trained on, unless it reads text.
        """
        if not isinstance(segments, SceneGraph):
            raise SpadeError(
                f"segments: {type(segments).__name__} is no scene graph; make one of masks and labels with "
                "SceneGraph.from_masks, from_supervision or from_pipeline, or open one with SceneGraph.open."
            )
        check_limits(top, min_score)
        predicates = self.vocabulary.predicates if vocabulary is None else vocabulary.predicates
        labels = self._labels(segments, vocabulary)
        named = [self.index.find(label) for label in labels]
        boxes = torch.tensor([segment.bbox for segment in segments.segments], dtype=torch.float32).view(-1, 4)
        area = torch.tensor([segment.area for segment in segments.segments], dtype=torch.float32)
        size = segments.width, segments.height
        with self._turn:
            pairs, scores, unrelated = self.scores(labels, named, boxes, area, size, predicates)
        relations = best_relations(segments.segments, pairs, scores, predicates, top, min_score)
        facts = self.facts | {"labels": self.taken_for(labels, named)}
        known = tuple(
            replace(s, supercategory=label.supercategory) for s, label in zip(segments.segments, labels, strict=True)
        )
        return Prediction(
            replace(segments, segments=known, relations=relations, predicates=predicates, model=facts),
            pairs,
            scores,
            unrelated,
        )

    def taken_for(self, labels: Sequence[Label], named: Sequence[LabelMatch]) -> dict[str, str]:
        """What the labels that are not known by name stand for; a model that reads text knows every name.

        Of one name several things, where its segments say different supercategories.
        """
        if self.clip is not None:
            return {}
        found: dict[str, dict[str, None]] = {}
        for label, match in zip(labels, named, strict=True):
            if match.matched_via is not None:
                found.setdefault(label.name, {})[match.matched_via] = None
        return {name: OR.join(taken) for name, taken in found.items()}

    @torch.no_grad()
    def scores(
        self,
        labels: Sequence[Label],
        named: Sequence[LabelMatch],
        boxes: Tensor,
        area: Tensor,
        size: tuple[int, int],
        predicates: Sequence[str],
    ) -> Scores:
        """Of ONE image of ``size`` (width, height): boxes (N, 4) xyxy and areas (N,) in pixels."""
        columns, prior = self.columns(predicates)
        category = [match.category for match in named]
        if isinstance(self.model.words, TextEmbeddings):
            assert self.clip is not None
            names = list(dict.fromkeys(labels))
            self.model.words.objects = self._texts(names)
            self.model.words.predicates = self._predicate_texts(tuple(predicates))
            category = [names.index(label) for label in labels]
        rows = [(number, match.group, match.is_thing) for number, match in zip(category, named, strict=True)]
        segments = BoxSegments.of(rows, boxes, area, size)
        (result,) = self.model.relate([segments.to(self.device)])
        logits = result.predicate_logits[:, columns].cpu() - self.logit_adjustment * prior.log()
        related = result.pair_logits.sigmoid().cpu()
        scores = related[:, None] * logits.softmax(-1)
        return result.pairs.cpu().numpy(), scores.float().numpy(), (1 - related).float().numpy()

    def columns(self, predicates: Sequence[str]) -> tuple[list[int], Tensor]:
        """Where the wanted predicates stand among the model's, and their priors; a text that training did not have
        counts as the rarest.

        Raises SpadeError for a predicate that the model was not trained on, unless it reads text.
        """
        known = {name: number for number, name in enumerate(self.vocabulary.predicates)}
        if self.clip is not None:
            return list(range(len(predicates))), torch.stack(
                [self.prior[known[p]] if p in known else self.prior.min() for p in predicates]
            )
        refuse_unknown_predicates(predicates, self.vocabulary.predicates)
        columns = [known[name] for name in predicates]
        return columns, self.prior[columns]

    def _texts(self, labels: Sequence[Label]) -> Tensor:
        """Embeddings (N, D) of labels, each made once."""
        assert self.clip is not None
        new = [label for label in labels if label not in self._label_texts]
        if new:
            self._label_texts |= dict(zip(new, self.clip.embed_labels(new), strict=True))
        return (
            torch.stack([self._label_texts[label] for label in labels])
            if labels
            else torch.zeros(0, self.clip.dim, device=self.device)
        )

    def _predicate_texts(self, predicates: tuple[str, ...]) -> Tensor:
        assert self.clip is not None
        if self._predicate_rows is None or self._predicate_rows[0] != predicates:
            self._predicate_rows = (predicates, self.clip.embed_predicates(predicates))
        return self._predicate_rows[1]

    def _labels(self, segments: SceneGraph, vocabulary: Vocabulary | None) -> list[Label]:
        """What is known of each segment's label: from the vocabulary, where it has it as a name or as a synonym, and
        from the segment.
        """
        known: dict[str, Label] = {}
        objects = () if vocabulary is None else vocabulary.objects
        for label in objects:
            known.setdefault(label.name.casefold(), label)
        for label in objects:
            for synonym in label.synonyms:
                others = (label.name, *(name for name in label.synonyms if name != synonym))
                known.setdefault(synonym.casefold(), replace(label, name=synonym, synonyms=others))
        labels = []
        for segment in segments.segments:
            label = known.get(segment.label.casefold(), Label(segment.label, segment.is_thing))
            # A line of a vocabulary says nothing of things or stuff unless it says stuff.
            is_thing = label.is_thing and segment.is_thing
            labels.append(replace(label, is_thing=is_thing, supercategory=label.supercategory or segment.supercategory))
        return labels
