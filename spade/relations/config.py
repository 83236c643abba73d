"""The relation head: every default of its shape, and the presets; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spade.core.errors import SpadeError, given
from spade.core.settings import check, setting

CONTEXT = ("near", "far", "convolution")  # attention to neighbours, to all others, graph convolution over neighbours
LABEL_DIM = 64  # of learned vectors for names, where no OpenCLIP model gives them
BASIC, DETAILED = 7, 17  # numbers that describe an ordered pair's geometry; BASIC only in models made long ago


@dataclass(frozen=True)
class RelationHeadConfig:
    """Everything that is needed to build the relation head; the defaults are what measured best (docs/results)."""

    clip_dim: int = 0  # of the vectors that stand for names; the builder fills it in
    inputs: str = "image"  # or boxes: labels and boxes alone
    geometry_dim: int = DETAILED  # numbers about an ordered pair
    width: int = setting(64, "channels of a node, a multiple of 32", least=32, most=4096)
    layers: int = setting(3, "layers of the relation graph transformer, 0 for none", least=0, most=64)
    context: tuple[str, ...] = setting(CONTEXT, "parts of these layers, or none", choices=CONTEXT)
    attention: str = setting(
        "values", "context comes from the set's values, or literal: the set only scales the node, as in SPADE's figure",
        choices=("values", "literal"),
    )  # fmt: skip
    neighbours: str = setting("soft", "learned weights, or hard as in SPADE", choices=("soft", "hard"))
    nearness: str = setting("boxes", "what neighbours are near by", choices=("boxes", "masks"))
    selector: str = setting("roles", "directed pair matrix, or SPADE's symmetric cosine", choices=("roles", "cosine"))
    geometry: bool = setting(True, "pairs know how their segments lie to each other")
    fourier_bands: int = setting(5, "octaves of waves in which geometry is given, too; 0 for none", least=0, most=16)
    edges: bool = setting(False, "attention of the graph transformer weighs pairs' geometry")
    dropout: float = setting(0.1, "in graph and pair decoder", least=0, most=1)
    positional_encoding: bool = setting(True, "pairs know where in the image they look")
    look: bool = setting(True, "pairs attend to the image or, without one, to all segments")
    pairs: int = setting(100, "pairs of an image that are decoded, at most", least=1)

    def __post_init__(self) -> None:
        check(self)
        if self.width % 32:
            raise SpadeError(f"{given('width', self.width)}: use a multiple of 32.")
        if self.attention == "literal" and self.edges:
            raise SpadeError(f"{given('edges', True)}: only `attention=values` weighs pairs' geometry; leave it out.")

    def refuse_idle(self, asked: Collection[str]) -> None:
        """Raise SpadeError where a setting that somebody asked for changes nothing beside the others."""
        no_attention = {"near", "far"}.isdisjoint(self.context)
        for why, holds, names in (
            (f"{given('layers', 0)} builds no graph transformer", self.layers == 0,
             ("context", "attention", "neighbours", "nearness", "edges")),
            (f"{given('context', 'none')} builds no graph transformer", not self.context, ("neighbours", "nearness")),
            (f"{given('context', self.context)} asks for no attention", no_attention, ("attention", "edges")),
            (f"{given('look', False)} lets pairs see nothing of the image", not self.look, ("positional_encoding",)),
            ("this head sees labels and boxes alone", self.inputs == "boxes", ("positional_encoding", "nearness")),
        ):  # fmt: skip
            for name in names:
                if holds and name in asked and getattr(self, name) not in ((), False):
                    raise SpadeError(f"{given(name, getattr(self, name))}: changes nothing, since {why}; leave it out.")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RelationHeadConfig:
        """The inverse of ``dataclasses.asdict``, by way of json; fields as model.json of format 2 calls them, too.

        Raises SpadeError for a head with a part that the product no longer has.
        """
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        if "inputs" not in facts:
            facts = _from_format_2(facts)
        return cls(**facts)


def box_head(**changes: Any) -> RelationHeadConfig:
    """The head of labels and boxes with its own defaults."""
    base = RelationHeadConfig(
        inputs="boxes", width=128, neighbours="hard", edges=True, dropout=0.3, positional_encoding=False, pairs=10_000
    )
    return replace(base, **changes)


# SPADE as far as it is known (docs/method.md).
PAPER: dict[str, Any] = {
    "neighbours": "hard",
    "nearness": "masks",
    "attention": "literal",
    "selector": "cosine",
    "fourier_bands": 0,
}

_RENAMED = {
    "nodes": "inputs",
    "facts": "geometry_dim",
    "octaves": "fourier_bands",
    "places": "positional_encoding",
}  # in format 2

_GONE = ("gate", "unions", "maps", "contrast")  # parts that three seeds showed to be level or behind

_DEFAULTS_THEN = {
    "nodes": "pixels",
    "neighbours": "hard",
    "nearness": "boxes",
    "facts": BASIC,
    "octaves": 0,
    "places": False,
    "dropout": 0.0,
}


def _from_format_2(data: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {**_DEFAULTS_THEN, **data}
    for name in _GONE:
        if facts.pop(name, None):
            raise SpadeError(f"has {name}, which this version of spade no longer builds; train it anew.")
    facts["nodes"] = {"pixels": "image", "layout": "boxes"}[facts["nodes"]]
    return {_RENAMED.get(name, name): value for name, value in facts.items()}
