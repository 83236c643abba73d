"""The shape of the mask proposer; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spade.core.settings import check, execution, setting


@dataclass(frozen=True)
class MaskProposerConfig:
    """Everything that is needed to build the mask proposer again. The builder fills in what depends on the features."""

    strides: tuple[int, ...] = execution(
        ()
    )  # of the features, fine to coarse, in pixels; finer ones that are offered are left out
    channels: tuple[int, ...] = execution(())
    clip_dim: int = execution(0)
    classes: int = execution(0)  # of the training vocabulary; only the loss needs it
    boxes: bool = execution(False)  # segments are boxes, as in Visual Genome; the data set says so
    width: int = 0  # of a query; whoever resolves a method fills in the relation head's
    queries: int = setting(24, "object queries", least=1, most=4096)
    mask_layers: int = setting(3, "layers of the mask decoder", least=1, most=64)
    fine: bool = setting(True, "masks are found on the autoencoder's finer blocks, too")
    name_attention: bool = setting(True, "the UNet's attention to a name adds to a segment's score for it")

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MaskProposerConfig:
        """The inverse of ``dataclasses.asdict``, by way of json; fields as model.json of format 2 calls them, too."""
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        if "attention" in facts:  # format 2
            facts["name_attention"], facts["mask_layers"] = facts.pop("attention"), facts.pop("layers")
            facts["fine"] = min(facts["strides"]) < 8
        return cls(**facts)
