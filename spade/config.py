"""One frozen config a step: everything that a result depends on, and nothing else.

Fields marked ``execution`` do not change the result and stay out of the key: places (their content has a fingerprint
of its own), names of models (likewise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spade.errors import SpadeError


def _execution(default: Any) -> Any:
    return field(default=default, metadata={"execution": True})


@dataclass(frozen=True)
class InvertConfig:
    """``spade invert``. 0 or empty means: the backbone's preset."""

    data: Path = _execution(Path("data/psg"))
    images: Path | None = _execution(None)  # where the pictures lie, if not beside the annotations
    backbone: str = _execution("tiny")
    clip: str = _execution("")  # of the later steps; empty: the one that goes with the backbone
    steps: int = 0
    read_at: tuple[int, ...] = ()
    batch_size: int = 0
    grids: tuple[int, ...] = ()  # strides of the cross-attention grids, in latent cells
    read: str = "inversion"
    latents: str = "inverted"
    keep: str = "spans"
    counterfactual: int = 0  # related pairs an image that are also told wrong
    split: str = "train"
    limit: int | None = None
    seed: int = 0  # of the noise, where latents are not inverted
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = _execution(False)

    def __post_init__(self) -> None:
        _one_of("--split", self.split, "train", "test", "all")
        _one_of("--read", self.read, "inversion", "resampling")
        _one_of("--latents", self.latents, "inverted", "noised", "random")
        _one_of("--keep", self.keep, "spans", "tokens")
        _positive(steps=self.steps, batch_size=self.batch_size, limit=self.limit, counterfactual=self.counterfactual)


@dataclass(frozen=True)
class CalibrateConfig:
    """``spade calibrate``. 0 means: the backbone's preset."""

    train: str = "lora"
    rank: int = 8
    alpha: float = 0.0  # 0: the same as rank
    targets: tuple[str, ...] = ("q", "k", "v", "out")  # of the LoRA
    alignment: str = "vocabulary"
    tokens: int = 0  # of the image adapter
    timestep: int = 0  # of the student's one pass
    counterfactual: float = 0.0  # weight of the hinge against maps of prompts made wrong
    epochs: int = 0
    batch_size: int = 0
    accumulate: int = 1  # batches a step
    learning_rate: float = 0.0
    init: str = "embedded"
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise SpadeError(f"--rank {self.rank}: a LoRA has at least rank 1; the usual values are 4 to 32.")
        _one_of("--train", self.train, "lora", "adapter", "full")
        _one_of("--alignment", self.alignment, "vocabulary", "index", "matched")
        for target in self.targets:
            _one_of("--targets", target, "q", "k", "v", "out")
        if not self.targets:
            raise SpadeError("--targets: name one or more of q, k, v and out, with commas.")
        if self.train == "full" and self.dtype not in ("auto", "float32"):
            raise SpadeError(f"--dtype {self.dtype}: a whole UNet is trained in float32; leave --dtype out with --train full.")
        if self.counterfactual and self.alignment != "vocabulary":
            raise SpadeError(f"--alignment {self.alignment}: --counterfactual compares maps of labels; use --alignment vocabulary with it.")
        if self.counterfactual < 0:
            raise SpadeError(f"--counterfactual {self.counterfactual}: a weight is at least 0.")
        _at_least_one("--accumulate", self.accumulate)
        _positive(epochs=self.epochs, batch_size=self.batch_size, tokens=self.tokens, timestep=self.timestep)
        _rate(self.learning_rate)
        _one_of("--init", self.init, "embedded", "scratch")


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
_PIXELS = ("places", "nearness", "unions", "maps", "masks_from", "mode", "void", "masks", "mask_weight", "fusion", "fine", "name_attention")


@dataclass(frozen=True)
class RelationsConfig:
    """``spade train-relations``. 0 means: the backbone's preset."""

    data: Path | None = _execution(None)  # nothing: the data set that was inverted
    images: Path | None = _execution(None)
    nodes: str = "diffusion"  # or layout: labels and boxes alone
    clip: str | None = _execution(None)  # of nodes from labels: its text embeddings instead of learned vectors
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
    masks: str = "both"  # of segments whose relations are learned: annotated, or in every second picture those that were found
    masks_from: Path | None = _execution(None)  # a model whose mask generator is taken as it is
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
    strict: bool = _execution(False)

    def __post_init__(self) -> None:
        _one_of("--nodes", self.nodes, "diffusion", "layout")
        _one_of("--mode", self.mode, "sgdet", "predcls")
        self._only_for_nodes()
        for part in self.context:
            _one_of("--context", part, "near", "far", "convolution")
        _one_of("--attention", self.attention, "values", "literal")
        _one_of("--neighbours", self.neighbours or "hard", "hard", "soft")
        _one_of("--nearness", self.nearness, "boxes", "masks")
        _one_of("--selector", self.selector, "roles", "cosine")
        _one_of("--void", self.void, "segments", "ignored")
        _one_of("--masks", self.masks, "both", "annotated")
        _one_of("--imbalance", self.imbalance, "none", "adjust", "reweight")
        for name in ("mask", "relation", "pair", "rqc"):
            if getattr(self, f"{name}_weight") < 0:
                raise SpadeError(f"--{name}-weight {getattr(self, f'{name}_weight')}: a weight is at least 0.")
        if not 0 <= self.imbalance_strength <= 1:
            raise SpadeError(f"--imbalance-strength {self.imbalance_strength}: use a number from 0 to 1.")
        for name in ("contrast", "dropout", "withheld"):
            if not 0 <= (getattr(self, name) or 0.0) <= 1:
                raise SpadeError(f"--{name} {getattr(self, name)}: use a number from 0 to 1.")
        _fusion(self.fusion)
        _at_least_one("--accumulate", self.accumulate)
        _positive(epochs=self.epochs, batch_size=self.batch_size, limit=self.limit, width=self.width, pairs=self.pairs)
        _rate(self.learning_rate)
        for option, value, most in (("--layers", self.layers, 64), ("--octaves", self.octaves, 16)):
            if value is not None and not 0 <= value <= most:
                raise SpadeError(f"{option} {value}: use a number from 0 to {most}.")
        _one_of("--init", self.init, "embedded", "scratch")

    def _refuse(self, why: str, holds: bool, *names: str) -> None:
        """Options that would change nothing where this holds are refused, not passed over."""
        changed = [name for name in names if getattr(self, name) not in (_default(RelationsConfig, name), *_NOTHING.get(name, ()))]
        if holds and changed:
            raise SpadeError(f"{why}; leave {' and '.join(option_name(name, getattr(self, name)) for name in changed)} out.")

    def _only_for_nodes(self) -> None:
        """Options that the other kind of nodes has no use for are refused, not passed over."""
        if self.width % 32:
            raise SpadeError(f"--width {self.width}: use a multiple of 32.")
        if self.nodes == "layout":
            for name in _PIXELS:
                if (value := getattr(self, name)) != _default(RelationsConfig, name):
                    raise SpadeError(f"{option_name(name, value)}: needs pixels, and --nodes layout has none; leave one of the two out.")
        elif self.clip is not None:
            raise SpadeError(f"--clip {self.clip}: here it belongs to --nodes layout; spade invert --clip chooses the one of pixels.")
        self._refuse(
            "--masks-from: takes a mask generator as it is", self.masks_from is not None, "fine", "name_attention", "mask_weight", "void"
        )
        self._refuse("--layers 0: builds no graph transformer", self.layers == 0, "context", "attention", "neighbours", "nearness", "edges")
        elsewhere = {"near", "far"}.isdisjoint(self.context)
        self._refuse("--context without near and far: asks for no attention", elsewhere, "attention", "edges")
        self._refuse("--context none: builds no graph transformer", not self.context, "neighbours", "nearness")
        self._refuse("--imbalance none: weighs no predicate", self.imbalance == "none", "imbalance_strength")
        self._refuse("--no-look: lets pairs see nothing of the picture", not self.look, "places")
        if self.attention == "literal" and self.edges:
            raise SpadeError("--edges: only --attention values weighs pairs' geometry; leave one of the two out.")
        if (self.nodes == "diffusion" or self.clip is not None) and self.withheld != _default(RelationsConfig, "withheld"):
            raise SpadeError(f"--withheld {self.withheld}: hides learned names, which only --nodes layout without --clip has.")


@dataclass(frozen=True)
class PredictConfig:
    """``spade predict``."""

    images: tuple[str, ...] = _execution(())
    vocab: Path | None = _execution(None)
    predicates: Path | None = _execution(None)
    output: Path | None = _execution(None)
    model: Path | None = _execution(None)
    segments: Path | None = _execution(None)  # masks and labels that are given
    segmenter: str | None = _execution(None)  # a model of transformers that finds them
    balance: float | None = None  # of a model of layout; nothing: its own
    novel_odds: float | None = None  # of names that training did not have; nothing: the model's own
    top: int = 20
    min_score: float = 0.1
    fusion: float | None = None  # the model's own
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = _execution(False)

    def __post_init__(self) -> None:
        _positive(top=self.top, limit=self.limit)
        if not 0 <= self.min_score <= 1:
            raise SpadeError(f"--min-score {self.min_score}: use a probability from 0 to 1.")
        if self.segments is not None and self.segmenter is not None:
            raise SpadeError("--segments: gives masks and labels, and --segmenter finds others; leave one of the two out.")
        _odds(self.balance, self.novel_odds)
        _fusion(self.fusion)


@dataclass(frozen=True)
class EvalConfig:
    """``spade eval``."""

    data: Path | None = _execution(None)
    images: Path | None = _execution(None)
    predictions: Path | None = _execution(None)
    compare: tuple[Path, ...] = _execution(())  # prediction files side by side; the first is what the others differ from
    model: Path | None = _execution(None)
    protocol: str = "openpsg"
    mode: str = "sgdet"
    at: tuple[int, ...] = (20, 50, 100)
    split: str = "test"
    split_list: str | None = _execution(None)
    zero_shot: Path | None = _execution(None)
    fusion: float | None = None  # the model's own
    balance: float | None = None  # of a model of layout; nothing: its own
    novel_odds: float | None = None  # of names that training did not have; nothing: the model's own
    limit: int | None = None
    seed: int = 0  # of the bootstrap
    device: str = "auto"
    dtype: str = "auto"
    lenient: bool = False
    strict: bool = _execution(False)
    workers: int = _execution(0)  # 0: one a core

    def __post_init__(self) -> None:
        if not self.at or any(k < 1 for k in self.at) or len(set(self.at)) < len(self.at):
            raise SpadeError("--at: name one or more different numbers of at least 1, for example --at 20,50,100.")
        _one_of("--split", self.split, "train", "test", "all")
        _odds(self.balance, self.novel_odds)
        _fusion(self.fusion)
        if self.compare and self.predictions is not None:
            raise SpadeError("--predictions: leave it out with --compare, and name all files after DATA.")
        if self.compare and len(self.compare) < 2:
            raise SpadeError("--compare: name two or more prediction files, for example: spade eval data/psg --compare a.jsonl b.jsonl")
        _positive(limit=self.limit, workers=self.workers)


@dataclass(frozen=True)
class ExportConfig:
    """``spade export-graph``."""

    graphs: tuple[Path, ...] = _execution(())
    format: str = "graphml"
    merge: bool = False
    output: Path | None = _execution(None)

    def __post_init__(self) -> None:
        if self.format != "graphml":
            raise SpadeError(f"--format {self.format}: unknown graph format; use graphml.")


def _default(config: type, name: str) -> Any:
    return next(own.default for own in fields(config) if own.name == name)


def option_name(name: str, value: Any) -> str:
    """A field as the command line has it; of a switch that is off, the word that turns it off."""
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def _positive(**values: int | None) -> None:
    """None and 0 (the preset) pass, except that a limit or a count of 0 images would leave nothing."""
    for name, value in values.items():
        if value is not None and (value < 0 or (value == 0 and name in ("limit", "top"))):
            raise SpadeError(f"--{name.replace('_', '-')} {value}: use a number of at least 1.")


def _rate(value: float) -> None:
    if not 0 <= value < math.inf:
        raise SpadeError(f"--learning-rate {value}: use a number above 0, or 0 for the default.")


def _fusion(value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise SpadeError(f"--fusion {value}: use a number from 0, OpenCLIP alone, to 1, without it.")


def _odds(balance: float | None, novel: float | None) -> None:
    if balance is not None and not 0 <= balance <= 2:
        raise SpadeError(f"--balance {balance}: use a number from 0, most relations, to 2, rare predicates first.")
    if novel is not None and not 0 <= novel < float("inf"):
        raise SpadeError(f"--novel-odds {novel}: use a number from 0, by their text alone; 1 is what untrained evidence gives them.")


def _at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise SpadeError(f"{option} {value}: use a number of at least 1.")


def _one_of(option: str, value: str, *known: str) -> None:
    if value not in known:
        raise SpadeError(f"{option} {value}: use {', '.join(known[:-1])} or {known[-1]}.")
