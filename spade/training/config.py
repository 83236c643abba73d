"""Schedules and losses of training: every default, and the presets; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spade.core.errors import SpadeError, given
from spade.core.settings import check, setting
from spade.diffusion.backbone_files import BackboneDefaults


@dataclass(frozen=True)
class Schedule:
    """AdamW with linear warm-up; then cosine decay to a twentieth, or a drop to a tenth after three quarters."""

    epochs: int = setting(6, "epochs", least=1)
    learning_rate: float = setting(1e-4, "peak learning rate", least=1e-12)
    batch_size: int = setting(8, "images per batch", least=1)
    accumulate: int = setting(1, "batches per optimiser step", least=1)
    decay: str = setting("cosine", "of the learning rate", choices=("cosine", "step"))
    warmup_steps: int = setting(20, "steps of linear warm-up, at most a fifth of all", least=1)
    weight_decay: float = setting(0.01, "of all but biases and norms", least=0)
    clip_norm: float = setting(1.0, "largest norm of the gradients", least=1e-12)
    ema_decay: float | None = setting(
        None, "of a moving average of the weights, which is validated and kept; none: no average", least=0, most=1
    )
    validate_every: int = setting(1, "epochs between two validations; the last epoch is always validated", least=1)
    seed: int = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RelationLossConfig:
    """Terms of the relation losses, and what is done about rare predicates."""

    relation_weight: float = setting(1.0, "weight of the predicate loss", least=0)
    pair_weight: float = setting(1.0, "weight of the loss of P(pair)", least=0)
    rqc_weight: float = setting(0.6, "weight of the pair matrix' loss, SPADE's L_rqc", least=0)
    logit_adjustment: float = setting(
        0.0,
        "share of the predicates' log prior that is added to the logits in training (Menon et al.)",
        least=0,
        most=1,
    )
    reweighting: float = setting(
        0.0, "power of the inverse prior by which a predicate's loss is weighed", least=0, most=1
    )

    def __post_init__(self) -> None:
        check(self)
        if self.logit_adjustment and self.reweighting:
            raise SpadeError(f"{given('reweighting', self.reweighting)}: use it or `logit_adjustment`, not both.")

    @property
    def weights(self) -> dict[str, float]:
        """By the names of the terms."""
        return {"rel": self.relation_weight, "pair": self.pair_weight, "rqc": self.rqc_weight}


@dataclass(frozen=True)
class MaskTrainingConfig:
    """How masks take part in the training of relations."""

    mask_weight: float = setting(1.0, "weight of the mask loss", least=0)
    mask_source: str = setting(
        "both", "relations are learned on annotated masks, or in every second image on found ones that fit",
        choices=("both", "annotated"),
    )  # fmt: skip
    mirrored: bool = setting(True, "every second image is mirrored")
    unlabeled_regions: str = setting(
        "segments", "void regions are segments without a name, to be found, too; or ignored",
        choices=("segments", "ignored"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class BoxTrainingConfig:
    """What only training on labels and boxes has."""

    label_dropout: float = setting(
        0.2, "share of labels hidden in training, so that unknown ones can be related", least=0, most=1
    )

    def __post_init__(self) -> None:
        check(self)


# SPADE's published schedule (method: 80 epochs, drop at 60).
PAPER: dict[str, Any] = {"epochs": 80, "decay": "step"}


def calibration_schedule(defaults: BackboneDefaults, train: str, embedded: bool, seed: int = 0) -> Schedule:
    """Of a calibration. The rates are the best of those tried from scratch on the tiny model (docs/results/stage-1.md);
    a tenth of them on larger backbones, where none was tried.
    """
    rate = 1e-4 if embedded else (1e-3 if train == "full" else 1e-2) * (1.0 if defaults.is_tiny else 0.1)
    return Schedule(defaults.calibrate_epochs, rate, defaults.batch_size, seed=seed)


def relations_schedule(defaults: BackboneDefaults, embedded: bool, seed: int = 0) -> Schedule:
    """Of the heads on diffusion features."""
    rate = 1e-3 if defaults.is_tiny and not embedded else 1e-4
    return Schedule(defaults.relations_epochs, rate, defaults.batch_size, weight_decay=0.05, seed=seed)


def boxes_schedule(seed: int = 0) -> Schedule:
    """Of relations of labels and boxes. The average gives 0.4 to 1.7 points of R@20 on validation records of PSG."""
    return Schedule(10, 1e-3, 32, weight_decay=0.05, ema_decay=0.999, seed=seed)
