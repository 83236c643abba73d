"""What a training of heads is to be: every default, preset and setting, resolved before the key is made."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from spade.core.errors import SpadeError, given
from spade.core.settings import configure
from spade.diffusion.backbone_files import BackboneDefaults
from spade.models.checkpoint import ModelFile
from spade.models.config import PAPER as PAPER_OPTIONS
from spade.models.config import FusionConfig, HeadsConfig
from spade.relations.config import PAPER as PAPER_HEAD
from spade.relations.config import RelationHeadConfig
from spade.segmentation.config import MaskProposerConfig
from spade.steps.config import TrainRelationsConfig
from spade.training.config import PAPER as PAPER_SCHEDULE
from spade.training.config import MaskTrainingConfig, RelationLossConfig, Schedule, relations_schedule


@dataclass(frozen=True)
class Method:
    """Everything that is decided about a training, with every default resolved."""

    relations: RelationHeadConfig
    proposer: MaskProposerConfig
    losses: RelationLossConfig
    masks: MaskTrainingConfig
    fusion: FusionConfig
    schedule: Schedule

    @property
    def heads(self) -> HeadsConfig:
        """The shape of the heads, before the builder fills in what depends on features."""
        return HeadsConfig(self.proposer, self.relations)


def resolve(
    config: TrainRelationsConfig,
    defaults: BackboneDefaults,
    packaged: ModelFile | None,
    frozen: ModelFile | None,
    mirrored: bool = True,
) -> Method:
    """The method that a config asks for. From packaged heads, whatever is not said is theirs, and their shape stays.
    mirrored: whether images are, unless the config says.

    Raises SpadeError for a setting that changes nothing, or that asks for other heads than the packaged ones.
    """
    paper = config.preset == "paper"
    preset: dict[str, Any] = {**PAPER_HEAD, **PAPER_OPTIONS, **PAPER_SCHEDULE} if paper else {}
    if packaged is not None:
        relations, proposer = packaged.heads.relations, packaged.heads.proposer
    else:
        relations = RelationHeadConfig(**defaults.relation_head)
        proposer = MaskProposerConfig(**defaults.mask_proposer)
    if frozen is not None and "width" not in config.settings and packaged is None:
        relations = replace(relations, width=frozen.heads.proposer.width)
    base: dict[str, Any] = {
        "relations": relations,
        "proposer": proposer,
        "losses": RelationLossConfig(),
        "masks": MaskTrainingConfig(mirrored=mirrored),
        "fusion": FusionConfig(),
        "schedule": relations_schedule(defaults, packaged is not None, config.seed),
    }
    method = Method(**configure(base, preset, config.settings))
    if packaged is None:
        method = replace(method, proposer=replace(method.proposer, width=method.relations.width))
    method.relations.refuse_idle(config.settings)
    if packaged is not None:
        _refuse_other_heads(method, packaged)
    return method


def _refuse_other_heads(method: Method, packaged: ModelFile) -> None:
    """Raise SpadeError where settings ask for another shape than the packaged heads have, from which training
    starts.
    """
    free = ("dropout", "pairs")
    for ours, theirs in ((method.relations, packaged.heads.relations), (method.proposer, packaged.heads.proposer)):
        for field in fields(ours):  # type: ignore[arg-type]
            value = getattr(ours, field.name)
            if field.name not in free and value != getattr(theirs, field.name):
                raise SpadeError(
                    f"{given(field.name, value)}: the packaged heads, from which training starts here, are others; add "
                    f"{given('init', 'scratch')}."
                )
