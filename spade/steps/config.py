"""One frozen config a step: everything that a result depends on, and nothing else.

Fields marked ``execution`` do not change the result and stay out of the key: places (their content has a fingerprint
of its own), names of models (likewise).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spade.core.checks import (
    at_least_one,
    default_of,
    execution,
    learning_rate_at_least_0,
    one_of,
    option_name,
    positive_or_default,
)
from spade.core.errors import SpadeError


@dataclass(frozen=True)
class MapsConfig:
    """``spade maps``. ``images``: ids or file names; none: the first that calibration watched."""

    images: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"


_NOTHING: dict[str, tuple[Any, ...]] = {
    "context": ((),),
    "neighbours": ("hard",),
    "edges": (False,),
}  # what asks for nothing, if not left open

_IMAGE_ONLY = (
    "places",
    "nearness",
    "unions",
    "maps",
    "masks_from",
    "mode",
    "void",
    "masks",
    "mask_weight",
    "fusion",
    "fine",
    "name_attention",
)


@dataclass(frozen=True)
class RelationsConfig:
    """``spade train-relations``. 0 means: the backbone's preset."""

    data: Path | None = execution(None)  # nothing: the data set that was inverted
    images: Path | None = execution(None)
    nodes: str = "diffusion"  # or layout: labels and boxes alone
    clip: str | None = execution(None)  # of nodes from labels: its text embeddings instead of learned vectors
    mode: str = "sgdet"  # what is watched
    width: int = 0
    layers: int | None = None  # of the relation graph transformer; nothing: the default, 0: no such
    context: tuple[str, ...] = ("near", "far", "convolution")
    attention: str = "values"
    neighbours: str | None = None  # hard or soft; nothing: soft in fresh heads, hard with nodes from layout
    nearness: str = "boxes"  # or masks
    selector: str = "roles"
    geometry: bool = True
    octaves: int | None = None  # at which geometry is told in waves; nothing: as fresh heads have it
    gate: bool = False
    unions: bool = False
    maps: bool = False
    contrast: float = 0.0
    edges: bool | None = None  # attention weighs pairs' geometry; nothing: with nodes from layout alone
    dropout: float | None = None  # nothing: 0.3 with nodes from layout, 0.1 elsewhere
    look: bool = True  # pairs attend to the picture, or to all segments
    places: bool | None = None  # and know where in the picture they look; nothing: fresh heads do
    pairs: int = 0  # that are decoded of a picture at most; 0: 100, of layout 10,000
    fine: bool = True  # masks are found on the autoencoder's finer blocks, too
    name_attention: bool = True  # the UNet's attention to a name adds to its score
    withheld: float = 0.2  # share of the labels that a model of layout does not get to see
    void: str = "segments"  # or ignored
    masks: str = (
        "both"  # of segments whose relations are learned: annotated, or in every second picture those that were found
    )
    masks_from: Path | None = execution(None)  # a model whose mask generator is taken as it is
    mask_weight: float = 1.0
    relation_weight: float = 1.0
    pair_weight: float = 1.0
    rqc_weight: float = 0.6
    imbalance: str = "none"
    imbalance_strength: float = 0.5
    fusion: float = 1.0  # exponent of the diffusion branch; the rest is OpenCLIP's
    epochs: int = 0
    batch_size: int = 0
    accumulate: int = 1
    learning_rate: float = 0.0
    limit: int | None = None
    init: str = "embedded"
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = execution(False)

    def __post_init__(self) -> None:
        one_of("--nodes", self.nodes, "diffusion", "layout")
        one_of("--mode", self.mode, "sgdet", "predcls")
        self._only_for_nodes()
        for part in self.context:
            one_of("--context", part, "near", "far", "convolution")
        one_of("--attention", self.attention, "values", "literal")
        one_of("--neighbours", self.neighbours or "hard", "hard", "soft")
        one_of("--nearness", self.nearness, "boxes", "masks")
        one_of("--selector", self.selector, "roles", "cosine")
        one_of("--void", self.void, "segments", "ignored")
        one_of("--masks", self.masks, "both", "annotated")
        one_of("--imbalance", self.imbalance, "none", "adjust", "reweight")
        for name in ("mask", "relation", "pair", "rqc"):
            if getattr(self, f"{name}_weight") < 0:
                raise SpadeError(f"--{name}-weight {getattr(self, f'{name}_weight')}: a weight is at least 0.")
        if not 0 <= self.imbalance_strength <= 1:
            raise SpadeError(f"--imbalance-strength {self.imbalance_strength}: use a number from 0 to 1.")
        for name in ("contrast", "dropout", "withheld"):
            if not 0 <= (getattr(self, name) or 0.0) <= 1:
                raise SpadeError(f"--{name} {getattr(self, name)}: use a number from 0 to 1.")
        _fusion(self.fusion)
        at_least_one("--accumulate", self.accumulate)
        positive_or_default(
            epochs=self.epochs, batch_size=self.batch_size, limit=self.limit, width=self.width, pairs=self.pairs
        )
        learning_rate_at_least_0(self.learning_rate)
        for option, value, most in (("--layers", self.layers, 64), ("--octaves", self.octaves, 16)):
            if value is not None and not 0 <= value <= most:
                raise SpadeError(f"{option} {value}: use a number from 0 to {most}.")
        one_of("--init", self.init, "embedded", "scratch")

    def _refuse(self, why: str, holds: bool, *names: str) -> None:
        """Options that would change nothing where this holds are refused, not passed over."""
        changed = [
            name
            for name in names
            if getattr(self, name) not in (default_of(RelationsConfig, name), *_NOTHING.get(name, ()))
        ]
        if holds and changed:
            raise SpadeError(
                f"{why}; leave {' and '.join(option_name(name, getattr(self, name)) for name in changed)} out."
            )

    def _only_for_nodes(self) -> None:
        """Options that the other kind of nodes has no use for are refused, not passed over."""
        if self.width % 32:
            raise SpadeError(f"--width {self.width}: use a multiple of 32.")
        if self.nodes == "layout":
            for name in _IMAGE_ONLY:
                if (value := getattr(self, name)) != default_of(RelationsConfig, name):
                    raise SpadeError(
                        f"{option_name(name, value)}: needs pixels, and --nodes layout has none; leave one of the two "
                        "out."
                    )
        elif self.clip is not None:
            raise SpadeError(
                f"--clip {self.clip}: here it belongs to --nodes layout; spade invert --clip chooses the one of pixels."
            )
        self._refuse(
            "--masks-from: takes a mask generator as it is",
            self.masks_from is not None,
            "fine",
            "name_attention",
            "mask_weight",
            "void",
        )
        self._refuse(
            "--layers 0: builds no graph transformer",
            self.layers == 0,
            "context",
            "attention",
            "neighbours",
            "nearness",
            "edges",
        )
        elsewhere = {"near", "far"}.isdisjoint(self.context)
        self._refuse("--context without near and far: asks for no attention", elsewhere, "attention", "edges")
        self._refuse("--context none: builds no graph transformer", not self.context, "neighbours", "nearness")
        self._refuse("--imbalance none: weighs no predicate", self.imbalance == "none", "imbalance_strength")
        self._refuse("--no-look: lets pairs see nothing of the picture", not self.look, "places")
        if self.attention == "literal" and self.edges:
            raise SpadeError("--edges: only --attention values weighs pairs' geometry; leave one of the two out.")
        if (self.nodes == "diffusion" or self.clip is not None) and self.withheld != default_of(
            RelationsConfig, "withheld"
        ):
            raise SpadeError(
                f"--withheld {self.withheld}: hides learned names, which only --nodes layout without --clip has."
            )


@dataclass(frozen=True)
class PredictConfig:
    """``spade predict``."""

    images: tuple[str, ...] = execution(())
    vocab: Path | None = execution(None)
    predicates: Path | None = execution(None)
    output: Path | None = execution(None)
    model: Path | None = execution(None)
    segments: Path | None = execution(None)  # masks and labels that are given
    segmenter: str | None = execution(None)  # a model of transformers that finds them
    balance: float | None = None  # of a model of layout; nothing: its own
    novel_odds: float | None = None  # of names that training did not have; nothing: the model's own
    top: int = 20
    min_score: float = 0.1
    fusion: float | None = None  # the model's own
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = execution(False)

    def __post_init__(self) -> None:
        positive_or_default(top=self.top, limit=self.limit)
        if not 0 <= self.min_score <= 1:
            raise SpadeError(f"--min-score {self.min_score}: use a probability from 0 to 1.")
        if self.segments is not None and self.segmenter is not None:
            raise SpadeError(
                "--segments: gives masks and labels, and --segmenter finds others; leave one of the two out."
            )
        _odds(self.balance, self.novel_odds)
        _fusion(self.fusion)


@dataclass(frozen=True)
class EvalConfig:
    """``spade eval``."""

    data: Path | None = execution(None)
    images: Path | None = execution(None)
    predictions: Path | None = execution(None)
    compare: tuple[Path, ...] = execution(())  # prediction files side by side; the first is what the others differ from
    model: Path | None = execution(None)
    protocol: str = "openpsg"
    mode: str = "sgdet"
    at: tuple[int, ...] = (20, 50, 100)
    split: str = "test"
    split_list: str | None = execution(None)
    zero_shot: Path | None = execution(None)
    fusion: float | None = None  # the model's own
    balance: float | None = None  # of a model of layout; nothing: its own
    novel_odds: float | None = None  # of names that training did not have; nothing: the model's own
    limit: int | None = None
    seed: int = 0  # of the bootstrap
    device: str = "auto"
    dtype: str = "auto"
    lenient: bool = False
    strict: bool = execution(False)
    workers: int = execution(0)  # 0: one a core

    def __post_init__(self) -> None:
        if not self.at or any(k < 1 for k in self.at) or len(set(self.at)) < len(self.at):
            raise SpadeError("--at: name one or more different numbers of at least 1, for example --at 20,50,100.")
        one_of("--split", self.split, "train", "test", "all")
        _odds(self.balance, self.novel_odds)
        _fusion(self.fusion)
        if self.compare and self.predictions is not None:
            raise SpadeError("--predictions: leave it out with --compare, and name all files after DATA.")
        if self.compare and len(self.compare) < 2:
            raise SpadeError(
                "--compare: name two or more prediction files, for example: spade eval data/psg --compare a.jsonl "
                "b.jsonl"
            )
        positive_or_default(limit=self.limit, workers=self.workers)


@dataclass(frozen=True)
class ExportConfig:
    """``spade export-graph``."""

    graphs: tuple[Path, ...] = execution(())
    format: str = "graphml"
    merge: bool = False
    output: Path | None = execution(None)

    def __post_init__(self) -> None:
        if self.format != "graphml":
            raise SpadeError(f"--format {self.format}: unknown graph format; use graphml.")


def _fusion(value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise SpadeError(f"--fusion {value}: use a number from 0, OpenCLIP alone, to 1, without it.")


def _odds(balance: float | None, novel: float | None) -> None:
    if balance is not None and not 0 <= balance <= 2:
        raise SpadeError(f"--balance {balance}: use a number from 0, most relations, to 2, rare predicates first.")
    if novel is not None and not 0 <= novel < float("inf"):
        raise SpadeError(
            f"--novel-odds {novel}: use a number from 0, by their text alone; 1 is what untrained evidence gives them."
        )
