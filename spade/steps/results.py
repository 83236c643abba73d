"""What each step made: small dataclasses that a manifest keeps and that the next step reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from spade.core.artifact import Artifact
from spade.core.errors import SpadeError
from spade.core.workspace import COMMAND

R = TypeVar("R", bound="Result")
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """Of one step. ``formerly``: names under which older manifests hold a field."""

    formerly: ClassVar[Mapping[str, str]] = {}

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls: type[R], data: Mapping[str, Any]) -> R:
        """The inverse of ``to_json``. Raises ValueError naming a field that is missing."""
        old = {new: name for name, new in cls.formerly.items()}
        values = {}
        for field_ in fields(cls):
            name = field_.name if field_.name in data else old.get(field_.name, field_.name)
            if name in data:
                values[field_.name] = data[name]
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def of(cls: type[R], artifact: Artifact) -> R:
        """What an artifact's manifest says. Raises SpadeError, with the command that makes it anew, where it cannot."""
        try:
            return cls.from_json(artifact.manifest["result"])
        except ValueError as error:
            command = COMMAND[artifact.step]
            raise SpadeError(
                f"{artifact.path}: this result of an older version cannot be "
                f"read ({error}); make it anew with: {command}"
            ) from None


@dataclass(frozen=True)
class InvertResult(Result):
    """Of ``spade invert``. ``split``: the SplitList by which names were kept from it, here and below."""

    data: str
    images_root: str | None
    backbone: str
    clip: str
    images: int
    spans: int
    skipped: list[str]
    timesteps: list[int]
    latents: str
    split: dict[str, Any] | None = None


@dataclass(frozen=True)
class CalibrateResult(Result):
    """Of ``spade calibrate``. ``oracle``: pointing is told by the image's own caption or teacher."""

    data: str
    images_root: str | None
    backbone: str
    clip: str
    init: str
    train: str
    alignment: str
    train_images: int
    validation_images: int
    parameters: int
    best_epoch: int
    loss_before: float
    loss_after: float
    pointing_before: float | None
    pointing_after: float | None
    oracle: bool
    chance: float | None
    split: dict[str, Any] | None = None

    formerly: ClassVar[Mapping[str, str]] = {"learned_from": "train_images", "watched": "validation_images"}


@dataclass(frozen=True)
class TrainRelationsResult(Result):
    """Of ``spade train-relations``."""

    data: str
    images_root: str
    init: str
    mode: str
    train_images: int
    validation_images: int
    skipped: list[str]
    parameters: int
    validation_before: Metrics
    validation_after: Metrics
    best_epoch: int
    split: dict[str, Any] | None = None

    formerly: ClassVar[Mapping[str, str]] = {
        "learned_from": "train_images",
        "watched": "validation_images",
        "watched_before": "validation_before",
        "watched_after": "validation_after",
    }


@dataclass(frozen=True)
class TrainBoxesResult(Result):
    """Of ``spade train-boxes``. ``validation_unadjusted``: without anything done for rare predicates."""

    data: str
    images_root: str
    train_images: int
    validation_images: int
    parameters: int
    logit_adjustment: float
    validation_after: Metrics
    validation_unadjusted: Metrics
    best_epoch: int
    split: dict[str, Any] | None = None

    formerly: ClassVar[Mapping[str, str]] = {
        "learned_from": "train_images",
        "watched": "validation_images",
        "balance": "logit_adjustment",
        "watched_after": "validation_after",
        "watched_unbalanced": "validation_unadjusted",
    }


@dataclass(frozen=True)
class TrainedOn(Result):
    """What any trained model, of either kind and any version, says of its data."""

    data: str
    images_root: str


@dataclass(frozen=True)
class MapsResult(Result):
    """Of ``spade maps``: names of the images, and the images that they show."""

    figures: list[str]
    images: list[str]


@dataclass(frozen=True)
class PredictionsResult(Result):
    """Of the step that ``spade predict`` and ``spade eval`` share."""

    model: str
    skipped_images: list[str]

    formerly: ClassVar[Mapping[str, str]] = {"skipped_pictures": "skipped_images"}


@dataclass(frozen=True)
class PredictResult(Result):
    """Of ``spade predict``. ``labels``: what those stand for that the model does not know by name."""

    graphs: list[str]
    skipped: list[str]
    labels: dict[str, str]
    model: str
    predictions: str | None = None  # the exchange file, where a whole data set was predicted
    segments: int | None = None  # in all graphs
    relations: int | None = None
    page: str | None = None  # the first page's name
    output: str | None = None  # where the user wanted the files, too


@dataclass(frozen=True)
class ExportGraphResult(Result):
    """Of ``spade export-graph``. ``output``: where the user wanted the files, too."""

    files: list[str]
    output: str | None = None


@dataclass(frozen=True)
class ExampleResult(Result):
    """Of ``spade example``. ``segments_are``: where they come from; ``next``: the command that relates them."""

    photos: list[str]
    segments: str
    segments_are: str
    next: str


@dataclass(frozen=True)
class ViewResult(Result):
    """Of ``spade view``."""

    page: str


@dataclass(frozen=True)
class WorldResult(Result):
    """Of ``spade world``."""

    images: int
    test_images: int
    width: int
    height: int
    seed: int
    setting: str


@dataclass(frozen=True)
class EvalResult(Result):
    """Of ``spade eval``: where things are, and the metrics, which stand at the top level of ``--json`` as they are."""

    metrics: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The metrics themselves."""
        return dict(self.metrics)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvalResult:
        """The inverse of ``to_json``."""
        return cls(dict(data))


@dataclass(frozen=True)
class StepWorth:
    """What a step of a quickstart is worth by one measure, as fractions: ``value`` with it, ``without`` with what
    ``without_is`` in its place.
    """

    step: str
    measure: str
    without_is: str
    without: float | None
    value: float | None


@dataclass(frozen=True)
class WorthResult(Result):
    """``StepWorth``s as plain data."""

    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class QuickstartResult(Result):
    """Of ``spade quickstart``. ``steps``: see ``StepWorth``; ``models``: metrics of whole models on the same held-out
    scenes; ``photo_page``: the graph of a photograph, and ``first_picture_seconds`` until it was there, both None where
    no package has one; ``figure`` and ``page``: of a held-out scene.
    """

    steps: list[dict[str, Any]]
    models: Mapping[str, Mapping[str, float | None]]
    held_out_images: int
    step_seconds: Mapping[str, float]
    first_picture_seconds: float | None
    photo_page: str | None
    figure: str
    page: str


@dataclass(frozen=True)
class StatusResult(Result):
    """Of ``spade status``; ``quickstart``: the workspace of what ``spade quickstart`` made here, if it was run."""

    artifacts: list[dict[str, Any]] = field(default_factory=list)
    quickstart: str | None = None
