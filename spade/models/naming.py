"""Names of regions and of pairs: the trained classifiers, OpenCLIP's view beside them, and names that training did not
have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spade.models.config import UNSEEN_ODDS
from spade.models.encoded_vocabulary import EncodedVocabulary
from spade.models.heads import Heads
from spade.open_vocabulary.clip import OpenClip
from spade.open_vocabulary.text_classifier import fuse
from spade.open_vocabulary.unseen_names import (
    Naming,
    UnseenScorer,
    ZeroShotEvidence,
    favours_unseen,
    gate,
    kind_evidence,
    mix_seen_unseen,
    pair_evidence,
    region_evidence,
    share_unseen,
)

# Of regions where no void has taught the probe: classifiers are surer of unknown regions than they should be. Times
# what, to what power; chosen on scenes of no other use (docs/results/open-names.md).
DOUBT = (4.0, 1.0)


@dataclass(frozen=True)
class NameScorer:
    """A model's way to score names. fusion, unseen_odds: see spade.models.predictor.SceneGraphPredictor; gated: where
    no probe decides, a sure classifier gives unseen names nothing; doubt: how far it is believed, see ``DOUBT``.
    """

    heads: Heads
    clip: OpenClip
    fusion: float
    unseen_odds: float
    gated: bool = True
    doubt: tuple[float, float] = DOUBT

    def regions(
        self,
        classes: Tensor,
        queries: Tensor,
        masks: Tensor,
        cells: Tensor | None,
        attention: Tensor | None,
        encoded: EncodedVocabulary,
    ) -> Tensor:
        """Probabilities (Q, C + 1) of names and of nothing for masks (Q, h, w) in [0, 1], from the proposer's logits
        ``classes`` (Q, C + 1) and queries (Q, D); ``cells`` OpenCLIP's of the image, where they are asked for.
        """
        probabilities = classes.softmax(-1)
        if cells is None:
            return probabilities
        probe, is_seen = self.heads.unknown, encoded.is_seen_objects
        others = self.heads.proposer.classifier(queries, encoded.other_seen_objects)[:, :-1]
        learned = torch.cat([classes[:, :-1][:, is_seen], others], dim=1)
        things = torch.cat([encoded.is_thing[is_seen], encoded.other_seen_is_thing])
        kinds = kind_evidence(learned, things, encoded.is_thing)
        naming = Naming(probabilities[:, :-1], classes[:, :-1], encoded.objects, is_seen, kinds)

        def unknown(evidence: ZeroShotEvidence) -> Tensor:
            assert probe is not None
            assert self.heads.regions is not None
            trained = torch.cat([learned, classes[:, -1:]], dim=1)
            # Odds before it is looked at which names are asked for, times what these make of them.
            favour = favours_unseen(self.heads.regions, evidence, naming, encoded.other_seen_objects)
            return probe(trained, queries, evidence.views) + favour

        scores = self._mix(
            naming,
            self.heads.regions,
            lambda texts: self.clip.region_scores(cells, masks, texts),
            lambda: region_evidence(self.clip, cells, masks, encoded.to_objects(attention)),
            others,
            unknown if probe is not None and probe.is_fitted else None,
            self.doubt,
        )
        return torch.cat([scores, probabilities[:, -1:]], dim=1)

    def pairs(
        self,
        logits: Tensor,
        pairs: Tensor,
        masks: Tensor,
        cells: Tensor | None,
        encoded: EncodedVocabulary,
    ) -> Tensor:
        """Probabilities (R, P) of predicates for pairs (R, 2) of masks (N, h, w), from the relation head's logits, in
        which names that only training had come last.
        """
        logits, other_seen = logits.tensor_split([len(encoded.predicates)], dim=1)
        if cells is None:
            return logits.softmax(-1)
        return self._mix(
            Naming(logits.softmax(-1), logits, encoded.predicates, encoded.is_seen_predicates),
            self.heads.pairs,
            lambda texts: self.clip.region_scores(cells, torch.maximum(masks[pairs[:, 0]], masks[pairs[:, 1]]), texts),
            lambda: pair_evidence(self.clip, cells, masks, pairs),
            other_seen,
        )

    def _mix(
        self,
        naming: Naming,
        scorer: UnseenScorer | None,
        clip_scores: Callable[[Tensor], Tensor],
        evidence: Callable[[], ZeroShotEvidence],
        other_seen: Tensor,
        unknown: Callable[[ZeroShotEvidence], Tensor] | None = None,
        doubt: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """Of regions or pairs: the trained classifier's probabilities, fused with OpenCLIP's, shared with unseen names:
        by ``unknown``, log odds that one is unknown, or by how unsure the classifier is (``doubt``: times what, to what
        power).
        """
        if self.fusion < 1:
            naming = replace(naming, scores=fuse(naming.scores, clip_scores(naming.texts), self.fusion))
        if scorer is None or self.unseen_odds <= 0 or bool(naming.is_seen.all()):
            return naming.scores
        there = evidence()
        zero_shot = scorer(there, naming.texts)
        if unknown is not None and bool(naming.is_seen.any()):
            share = (unknown(there) + math.log(self.unseen_odds / UNSEEN_ODDS)).sigmoid()
            return share_unseen(naming.scores, zero_shot + naming.kinds, naming.is_seen, share[:, None])
        odds_of_unseen: Tensor | float = self.unseen_odds
        if self.gated:
            unsure = gate(naming.logits, naming.is_seen, other_seen)
            odds_of_unseen = odds_of_unseen * doubt[0] * unsure ** doubt[1]
        return mix_seen_unseen(naming.scores, zero_shot, naming.is_seen, odds_of_unseen, naming.kinds)
