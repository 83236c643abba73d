"""The shape of all heads, and the options of a predictor; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from spade.core.settings import check, setting
from spade.relations.config import RelationHeadConfig
from spade.segmentation.config import MaskProposerConfig

# Chosen on predicates hidden from training (benchmarks/relations/unseen_names.py), when attention was part of their
# evidence: of all settings at which recall of all names together is no lower than with nothing for the hidden ones, the
# one that finds most of them.
UNSEEN_ODDS = 4.0


@dataclass(frozen=True)
class HeadsConfig:
    """Both halves; ``unseen``: whether names that training did not have are scored apart."""

    proposer: MaskProposerConfig = field(default_factory=MaskProposerConfig)
    relations: RelationHeadConfig = field(default_factory=RelationHeadConfig)
    unseen: bool = False  # where the OpenCLIP model sees regions
    probe: bool = False  # whether regions of such names are told from others by a probe; not in models of before

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HeadsConfig:
        """The inverse of ``to_json``; of format 2, too. Raises SpadeError for heads that the product no longer has."""
        proposer = MaskProposerConfig.from_json(data["proposer"])
        unseen = bool(data.get("unseen", data.get("untrained", False)))
        probe = bool(data.get("probe", False))
        return cls(proposer, RelationHeadConfig.from_json(data["relations"]), unseen, probe)


@dataclass(frozen=True)
class PredictorOptions:
    """How a trained model answers; None: as it was saved."""

    fusion: float | None = setting(
        None, "exponent of the diffusion branch, OpenCLIP's view of regions has the rest; 1 is without it",
        least=0, most=1,
    )  # fmt: skip
    unseen_odds: float | None = setting(
        None, "of names that training did not have: 4 is usual, more gives them more; 0: by their text alone", least=0
    )
    denoised_pairs: int | None = setting(
        None, "pairs of an image whose unseen predicates are told apart by the UNet's denoising error; slow",
        least=0,
    )  # fmt: skip
    logit_adjustment: float | None = setting(
        None, "for rare predicates, of models of labels and boxes: share of the log prior taken off (Menon et al.)",
        least=0, most=2,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class FusionConfig:
    """How a model that is trained is validated, and how it answers unless it is asked otherwise."""

    fusion: float = setting(
        1.0, "exponent of the diffusion branch, OpenCLIP's view of regions has the rest; 1 is without it",
        least=0, most=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


PAPER: dict[str, Any] = {"fusion": 0.34}  # see spade.relations.config
