"""What ``invert`` and ``calibrate`` do: every default, and the presets; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spade.core.errors import SpadeError, given
from spade.core.settings import check, setting

TARGETS = ("q", "k", "v", "out")  # projections of the cross-attention


@dataclass(frozen=True)
class InversionConfig:
    """How the teacher's maps are made. Grids and batch are a large backbone's; a tiny one has others
    (spade.diffusion.backbone_files). Steps and timesteps are those that were measured on the tiny model.
    """

    steps: int = setting(10, "DDIM steps from the image to noise", least=1)
    read_at: tuple[int, ...] = setting((501,), "timesteps at which maps are read; the nearest step counts", least=0)
    batch_size: int = setting(4, "images per batch", least=1)
    grids: tuple[int, ...] = setting((2, 4), "cross-attention grids to read, as strides in latent cells", least=1)
    read: str = setting(
        "inversion", "on the way to noise, or while sampling back from it", choices=("inversion", "resampling")
    )
    latents: str = setting(
        "inverted", "or, to compare with, noise added to the image's, or noise alone",
        choices=("inverted", "noised", "random"),
    )  # fmt: skip
    keep: str = setting(
        "spans", "one map per mention, or per token, too (for alignment=index)", choices=("spans", "tokens")
    )
    counterfactual: int = setting(0, "related pairs of an image that are read under wrong prompts, too", least=0)

    def __post_init__(self) -> None:
        check(self)
        for name in ("read_at", "grids"):
            if not getattr(self, name):
                raise SpadeError(f"{given(name)}: name one or more, with commas.")


@dataclass(frozen=True)
class CalibrationConfig:
    """What learns to look without a caption, and how it is compared with the teacher."""

    train: str = setting(
        "lora", "what learns beside the image adapter: a LoRA, nothing, or the whole UNet",
        choices=("lora", "adapter", "full"),
    )  # fmt: skip
    rank: int = setting(8, "rank of the LoRA", least=1)
    alpha: float | None = setting(None, "scale of the LoRA; none: the same as the rank", least=0)
    targets: tuple[str, ...] = setting(TARGETS, "projections of the cross-attention that get a LoRA", choices=TARGETS)
    alignment: str = setting(
        "vocabulary", "the student's token for a word: its label's, the one at its place, or the nearest in each image",
        choices=("vocabulary", "index", "matched"),
    )  # fmt: skip
    tokens: int | None = setting(None, "tokens of the image adapter; none: as many as the alignment needs", least=1)
    timestep: int = setting(51, "timestep of the student's one pass", least=1)
    counterfactual: float = setting(0.0, "weight of the hinge against maps of wrong prompts", least=0)

    def __post_init__(self) -> None:
        check(self)
        if not self.targets:
            raise SpadeError(f"{given('targets')}: name one or more of q, k, v and out, with commas.")
        if self.counterfactual and self.alignment != "vocabulary":
            raise SpadeError(
                f"{given('alignment', self.alignment)}: {given('counterfactual')} compares maps of labels; "
                f"use {given('alignment', 'vocabulary')} with it."
            )

    @property
    def scale(self) -> float:
        """The LoRA's alpha."""
        return float(self.rank if self.alpha is None else self.alpha)


# SPADE as far as it is known: fifty steps, maps are read while sampling back (docs/method.md).
PAPER_INVERSION: dict[str, Any] = {"steps": 50, "read": "resampling"}
PAPER_CALIBRATION: dict[str, Any] = {"rank": 16, "alpha": 32.0, "targets": ("q", "k", "v")}
