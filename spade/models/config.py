"""The shape of all heads, and the options of a predictor; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from spade.relations.config import RelationHeadConfig, tuples_for_lists
from spade.segmentation.config import MaskProposerConfig

# Chosen on predicates hidden from training (benchmarks/novel_names.py): of all settings at which recall of all names
# together is no
# lower than with nothing for the hidden ones, the one that finds most of them.
UNSEEN_ODDS = 4.0  # of names that training did not have, times those that untrained evidence gives them


@dataclass(frozen=True)
class HeadsConfig:
    """Both halves; ``untrained``: whether names that training did not have are scored apart."""

    proposer: MaskProposerConfig
    relations: RelationHeadConfig
    untrained: bool = False  # new heads do

    def to_json(self) -> dict:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> HeadsConfig:
        """The inverse of ``to_json``."""
        proposer, relations = (
            MaskProposerConfig(**tuples_for_lists(data["proposer"])),
            RelationHeadConfig.from_json(data["relations"]),
        )
        return cls(proposer, relations, bool(data.get("untrained", False)))
