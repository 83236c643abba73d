"""All heads in one module: mask proposer, relation head, and scorers of unseen names."""

from __future__ import annotations

from torch import nn

from spade.models.config import HeadsConfig
from spade.open_vocabulary.unknown_probe import UnknownProbe
from spade.open_vocabulary.unseen_names import UnseenScorer
from spade.relations.head import RelationHead
from spade.segmentation.mask_proposer import MaskProposer


class Heads(nn.Module):
    """Stage 2 of SPADE: mask proposer and relation head in one module, and scores for names that training did not
    have.
    """

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.proposer, self.relations = MaskProposer(config.proposer), RelationHead(config.relations)
        self.regions = UnseenScorer(config.relations.clip_dim, 1) if config.unseen else None
        # Files hold two weights of attention, to subject and object, from when it was heeded.
        self.pairs = UnseenScorer(config.relations.clip_dim, 2) if config.unseen else None
        self.unknown = UnknownProbe(config.proposer.width, config.relations.clip_dim) if config.probe else None
