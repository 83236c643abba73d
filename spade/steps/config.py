"""One frozen config a step: what a user decides about his work. Nothing heavy is imported here.

Fields marked ``execution`` do not change the result and stay out of the key: places (their content has a fingerprint of
its own), names of models (likewise). ``preset`` and ``settings`` name values of the method; each step resolves them
into the dataclasses that own them, which stand in the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from spade.core.errors import SpadeError, given
from spade.core.settings import at_least_one, check_settings, execution, one_of
from spade.diffusion.backbone_files import TINY
from spade.diffusion.config import CalibrationConfig, InversionConfig
from spade.models.config import FusionConfig, PredictorOptions
from spade.relations.config import RelationHeadConfig, box_head
from spade.segmentation.config import MaskProposerConfig
from spade.training.config import (
    BoxTrainingConfig,
    MaskTrainingConfig,
    RelationLossConfig,
    Schedule,
    boxes_schedule,
    calibration_schedule,
    relations_schedule,
)

PRESETS = ("default", "paper")
SPLITS = ("train", "val", "test", "all")
INITS = ("embedded", "scratch")


def _settings() -> Any:
    return field(default_factory=dict, metadata={"execution": True})


class _Method:
    """A config with settings; ``parts`` are the dataclasses that own them, with their defaults."""

    PARTS: ClassVar[tuple[type, ...]] = ()

    @classmethod
    def parts(cls) -> tuple[Any, ...]:
        """One of each, as settings begin."""
        return tuple(part() for part in cls.PARTS)


def _check_method(preset: str, settings: Mapping[str, Any], *parts: type) -> None:
    one_of("preset", preset, *PRESETS)
    check_settings(settings, *parts)


@dataclass(frozen=True)
class InvertConfig(_Method):
    """``spade invert``."""

    data: Path = execution(Path("data/psg"))
    images: Path | None = execution(None)  # where the images lie, if not beside the annotations
    backbone: str = execution("tiny")
    clip: str | None = execution(None)  # of the later steps; None: the one that goes with the backbone
    split: str = "train"
    split_list: str | None = execution(None)  # names that are kept from training; what it keeps stands in the key
    limit: int | None = None
    seed: int = 0  # of the noise, where latents are not inverted
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = execution(False)
    preset: str = execution("default")
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (InversionConfig,)

    @classmethod
    def parts(cls) -> tuple[Any, ...]:
        """With the defaults of a tiny backbone."""
        return (TINY.inversion,)

    def __post_init__(self) -> None:
        one_of("split", self.split, *SPLITS)
        at_least_one("limit", self.limit)
        _check_method(self.preset, self.settings, *self.PARTS)


@dataclass(frozen=True)
class CalibrateConfig(_Method):
    """``spade calibrate``. init None: the packaged adapter where it fits and no preset asks for another."""

    init: str | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    preset: str = execution("default")
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (CalibrationConfig, Schedule)

    @classmethod
    def parts(cls) -> tuple[Any, ...]:
        """With the defaults on a tiny backbone, from the packaged adapter."""
        return CalibrationConfig(), calibration_schedule(TINY, "lora", embedded=True)

    def __post_init__(self) -> None:
        if self.init is not None:
            one_of("init", self.init, *INITS)
        _check_method(self.preset, self.settings, *self.PARTS)
        if self.settings.get("train") == "full" and self.dtype not in ("auto", "float32"):
            raise SpadeError(
                f"{given('dtype', self.dtype)}: a whole UNet is trained in float32; leave it out with `train=full`."
            )


@dataclass(frozen=True)
class MapsConfig:
    """``spade maps``. ``images``: ids or file names; none: the first validation images of the calibration."""

    images: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True)
class TrainRelationsConfig(_Method):
    """``spade train-relations``. init None: the packaged heads where they fit and no preset asks for others."""

    data: Path | None = execution(None)  # None: the data set that was inverted
    images: Path | None = execution(None)
    mode: str = "sgdet"  # whose relations choose the best epoch
    masks_from: Path | None = execution(None)  # a model whose mask proposer is taken as it is
    split_list: str | None = execution(None)
    limit: int | None = None
    init: str | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = execution(False)
    preset: str = execution("default")
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (
        *(RelationHeadConfig, MaskProposerConfig, RelationLossConfig, MaskTrainingConfig),
        *(FusionConfig, Schedule),
    )

    @classmethod
    def parts(cls) -> tuple[Any, ...]:
        """With the defaults on a tiny backbone, from the packaged heads."""
        return (
            RelationHeadConfig(**TINY.relation_head),
            MaskProposerConfig(**TINY.mask_proposer),
            RelationLossConfig(),
            MaskTrainingConfig(),
            FusionConfig(),
            relations_schedule(TINY, embedded=True),
        )

    def __post_init__(self) -> None:
        one_of("mode", self.mode, "sgdet", "predcls")
        at_least_one("limit", self.limit)
        if self.init is not None:
            one_of("init", self.init, *INITS)
        _check_method(self.preset, self.settings, *self.PARTS)
        if self.masks_from is not None:
            for name in ("fine", "name_attention", "queries", "mask_layers", "mask_weight", "unlabeled_regions"):
                if name in self.settings:
                    raise SpadeError(
                        f"{given(name, self.settings[name])}: changes nothing, since {given('masks_from')} takes a "
                        "mask proposer as it is; leave it out."
                    )


@dataclass(frozen=True)
class TrainBoxesConfig(_Method):
    """``spade train-boxes``."""

    data: Path = execution(Path("data/psg"))
    images: Path | None = execution(None)
    clip: str | None = execution(None)  # its text embeddings instead of learned vectors
    split_list: str | None = execution(None)
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    strict: bool = execution(False)
    preset: str = execution("default")
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (RelationHeadConfig, RelationLossConfig, BoxTrainingConfig, Schedule)

    @classmethod
    def parts(cls) -> tuple[Any, ...]:
        """With the defaults of a head on labels and boxes."""
        return box_head(), RelationLossConfig(), BoxTrainingConfig(), boxes_schedule()

    def __post_init__(self) -> None:
        at_least_one("limit", self.limit)
        _check_method(self.preset, self.settings, *self.PARTS)
        if self.clip is not None and "label_dropout" in self.settings:
            raise SpadeError(f"{given('label_dropout')}: hides learned names, which a model with `clip` has none of.")


@dataclass(frozen=True)
class PredictConfig(_Method):
    """``spade predict``."""

    images: tuple[str, ...] = execution(())
    vocab: str | Path | None = execution(None)  # a file, or labels with commas between
    predicates: Path | None = execution(None)
    output: Path | None = execution(None)
    model: str | Path | None = execution(None)
    segments: Path | None = execution(None)  # masks and labels that are given
    segmenter: str | None = execution(None)  # a model of transformers that finds them
    top: int = 20
    min_score: float = 0.1
    figures: bool | None = execution(None)  # None: for up to 200 images
    page: bool | None = execution(None)
    limit: int | None = execution(None)
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = execution(False)
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (PredictorOptions,)

    def __post_init__(self) -> None:
        at_least_one("top", self.top)
        at_least_one("limit", self.limit)
        if not 0 <= self.min_score <= 1:
            raise SpadeError(f"{given('min_score', self.min_score)}: use a probability from 0 to 1.")
        if self.segments is not None and self.segmenter is not None:
            raise SpadeError(
                f"{given('segments')}: gives masks and labels, and {given('segmenter')} finds others; leave one out."
            )
        _check_method("default", self.settings, *self.PARTS)


@dataclass(frozen=True)
class EvalConfig(_Method):
    """``spade eval``."""

    data: Path | None = execution(None)
    images: Path | None = execution(None)
    predictions: Path | None = execution(None)
    compare: tuple[Path, ...] = execution(())  # prediction files side by side; others differ from the first
    model: str | Path | None = execution(None)
    protocol: str | None = None  # None: that of the data set's papers, openpsg for masks and vg for boxes
    mode: str = "sgdet"
    at: tuple[int, ...] = (20, 50, 100)
    split: str = "test"
    split_list: str | None = execution(None)
    zero_shot: Path | None = execution(None)
    limit: int | None = None
    seed: int = 0  # of the bootstrap
    device: str = execution("auto")  # of the predictions, whose key holds it
    dtype: str = execution("auto")
    lenient: bool = False
    strict: bool = execution(False)
    workers: int = execution(0)  # 0: one a core
    settings: Mapping[str, Any] = _settings()

    PARTS: ClassVar[tuple[type, ...]] = (PredictorOptions,)

    def __post_init__(self) -> None:
        if not self.at or any(k < 1 for k in self.at) or len(set(self.at)) < len(self.at):
            raise SpadeError(f"{given('at')}: name one or more different numbers of at least 1, for example 20,50,100.")
        one_of("split", self.split, *SPLITS)
        if self.compare and self.predictions is not None:
            raise SpadeError(
                f"{given('predictions')}: leave it out with {given('compare')}; name all files after DATA."
            )
        if self.compare and len(self.compare) < 2:
            raise SpadeError(f"{given('compare')}: name two or more prediction files, for example a.jsonl b.jsonl.")
        at_least_one("limit", self.limit)
        if self.workers < 0:
            raise SpadeError(f"{given('workers', self.workers)}: use a number of at least 0.")
        _check_method("default", self.settings, *self.PARTS)


@dataclass(frozen=True)
class ExportConfig:
    """``spade export-graph``."""

    graphs: tuple[str | Path, ...] = execution(())  # files, folders, globs
    format: str = "graphml"
    merge: bool = False
    output: Path | None = execution(None)


@dataclass(frozen=True)
class QuickstartConfig:
    """``spade quickstart``. full: masks are learned on this run's calibration, too."""

    images: int = 100
    full: bool = execution(False)
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
