"""What ``invert`` and ``calibrate`` do: every default, and the presets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spade.core.checks import at_least_one, execution, learning_rate_at_least_0, one_of, positive_or_default
from spade.core.errors import SpadeError


@dataclass(frozen=True)
class InvertConfig:
    """``spade invert``. 0 or empty means: the backbone's preset."""

    data: Path = execution(Path("data/psg"))
    images: Path | None = execution(None)  # where the pictures lie, if not beside the annotations
    backbone: str = execution("tiny")
    clip: str = execution("")  # of the later steps; empty: the one that goes with the backbone
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
    strict: bool = execution(False)

    def __post_init__(self) -> None:
        one_of("--split", self.split, "train", "test", "all")
        one_of("--read", self.read, "inversion", "resampling")
        one_of("--latents", self.latents, "inverted", "noised", "random")
        one_of("--keep", self.keep, "spans", "tokens")
        positive_or_default(
            steps=self.steps, batch_size=self.batch_size, limit=self.limit, counterfactual=self.counterfactual
        )


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
        one_of("--train", self.train, "lora", "adapter", "full")
        one_of("--alignment", self.alignment, "vocabulary", "index", "matched")
        for target in self.targets:
            one_of("--targets", target, "q", "k", "v", "out")
        if not self.targets:
            raise SpadeError("--targets: name one or more of q, k, v and out, with commas.")
        if self.train == "full" and self.dtype not in ("auto", "float32"):
            raise SpadeError(
                f"--dtype {self.dtype}: a whole UNet is trained in float32; leave --dtype out with --train full."
            )
        if self.counterfactual and self.alignment != "vocabulary":
            raise SpadeError(
                f"--alignment {self.alignment}: --counterfactual compares maps of labels; use --alignment vocabulary "
                "with it."
            )
        if self.counterfactual < 0:
            raise SpadeError(f"--counterfactual {self.counterfactual}: a weight is at least 0.")
        at_least_one("--accumulate", self.accumulate)
        positive_or_default(epochs=self.epochs, batch_size=self.batch_size, tokens=self.tokens, timestep=self.timestep)
        learning_rate_at_least_0(self.learning_rate)
        one_of("--init", self.init, "embedded", "scratch")
