"""The relation head: every default of its shape, and the presets; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FOURIER_BANDS = 5  # wavelengths from two pictures down to an eighth of one
PAIRS = 100  # that are decoded of a picture
BASIC, DETAILED = 7, 17  # facts about an ordered pair
PARTS = ("near", "far", "convolution")  # attention to neighbours, to all others, and graph convolution over neighbours


@dataclass(frozen=True)
class RelationHeadConfig:
    """Everything that is needed to build the relation part again; the defaults are what measured best."""

    clip_dim: int  # of the vectors that stand for names
    nodes: str = "pixels"  # or layout: labels and boxes alone
    width: int = 64
    layers: int = 3  # of the relation graph transformer
    context: tuple[str, ...] = PARTS  # of its layers
    attention: str = "values"  # or literal
    neighbours: str = "hard"  # or soft
    nearness: str = "boxes"  # or masks, between which it is measured
    selector: str = "roles"  # or cosine, SPADE's symmetric one
    geometry: bool = True  # of ordered pairs
    facts: int = BASIC  # of that geometry; DETAILED is what new heads get
    octaves: int = 0  # at which geometry is given to networks, beside itself; new heads get FOURIER_BANDS
    edges: bool = False  # attention of the graph transformer weighs that geometry
    dropout: float = 0.0
    places: bool = False  # pairs know where in the picture they look, as Mask2Former's queries do; new heads do
    look: bool = True  # pairs attend to the picture or, without pixels, to all segments
    gate: bool = False  # by the same geometry, SPADE++'s role gate
    unions: bool = False  # pairs see the box around both, SPADE++'s union region
    maps: bool = False  # the UNet's attention to a predicate adds to its score
    contrast: float = 0.0  # what is taken off a predicate's score for its likest others', SPADE++'s decision contrast
    pairs: int = PAIRS  # that go to the relation decoder at test time

    @classmethod
    def from_json(cls, data: dict) -> RelationHeadConfig:
        """The inverse of ``dataclasses.asdict``, by way of json."""
        return cls(**tuples_for_lists(data))


def tuples_for_lists(data: dict) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
