"""What stage 2's heads see an image through: a calibrated student, the raw UNet, or a plain convolutional encoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.calibration.looks import Variant
from benchmarks.calibration.students import RATES, Size, calibrated, invert_world
from benchmarks.common.results import RESULTS
from benchmarks.relations.scenes import Place
from spade.core.workspace import Workspace
from spade.data.images import to_array
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY
from spade.diffusion.config import CalibrationConfig
from spade.diffusion.student import ImageFeatures, Kind, LabelContext, Student, load_student
from spade.open_vocabulary.clip import load_clip
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.mask_generator import Proposals
from spade.segmentation.mask_proposer import MaskProposer
from spade.steps import calibrate, invert
from spade.steps.common import Run
from spade.steps.config import CalibrateConfig, InvertConfig


@dataclass(frozen=True)
class Contradicted(Variant):
    """A student that also learns to stay away from maps of prompts made wrong (SPADE++): the hinge's weight, and pairs
    an image.
    """

    weight: float = 0.5
    pairs: int = 3


def calibrated_folder(place: Place, variant: Variant, seed: int = 0) -> Path:
    """The adapter of one of stage 1's students; made where stage 1 has not left it."""
    size = Size(scenes=place.scenes, epochs=place.calibration_epochs)
    assert variant.latents is not None
    if isinstance(variant, Contradicted):
        run = Run(Workspace(place.students / "workspace"))
        asked = {"read_at": (variant.timestep,), "counterfactual": variant.pairs}
        told = invert.run(InvertConfig(data=place.students / "world", settings=asked), run)
        learned = {
            "counterfactual": variant.weight,
            "epochs": size.epochs,
            "learning_rate": _rate(variant),
        }
        config = CalibrateConfig(init="scratch", seed=seed, settings=learned)
        return calibrate.run(config, replace(run, source=told.key)).path / "adapter"
    key = invert_world(place.students, (variant.latents, variant.timestep))
    return calibrated((place.students, size, variant, key, seed, _rate(variant))).path / "adapter"


def _rate(variant: Variant) -> float:
    """The learning rate that stage 1 found best on validation scenes."""
    path = RESULTS / "stage1.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
    wanted = {field.name: getattr(variant, field.name) for field in fields(Variant)}
    own = [row for row in rows if "learning_rate" in row["setting"] and wanted.items() <= row["setting"].items()]
    if not own:
        return RATES[variant.train][1]
    return float(min(own, key=lambda row: row["metrics"]["watched_loss"])["setting"]["learning_rate"])


def raw_student() -> Student:
    """The UNet as it was trained, told the labels only."""
    cpu = torch.device("cpu")
    kind = Kind(CalibrationConfig.timestep, TINY.inversion.grids)
    return Student(load_backbone("tiny", cpu, torch.float32), load_clip("tiny", cpu), None, kind)


def student(place: Place, variant: Variant | None, seed: int = 0) -> Student:
    """A calibrated student, or the raw UNet."""
    if variant is None:
        return raw_student()
    cpu = torch.device("cpu")
    return load_student(
        load_backbone("tiny", cpu, torch.float32), load_clip("tiny", cpu), calibrated_folder(place, variant, seed)
    )


class _Pixels:
    """An encoded image that is the image itself (1, 3, H, W) in [-1, 1]."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels


class PixelStudent(Student):
    """Sees nothing but pixels: for the plain encoder, which is trained with the mask generator."""

    def encode(self, image: Image.Image, fine: bool = True) -> Any:
        """The image at the size at which the others see it."""
        return _Pixels(torch.from_numpy(to_array(image, self.size_for(*image.size)))[None])

    def extract(self, encoded_image: Any, labels: LabelContext) -> ImageFeatures:
        """One level: the pixels."""
        return ImageFeatures((encoded_image.pixels,), None)


class ConvolutionalEncoder(nn.ModuleList):
    """A small encoder with the grids and channels of the UNet's features: pixels (B, 3, H, W) to levels, fine to
    coarse.
    """

    def __init__(self, channels_of: Sequence[int]) -> None:
        steps = []
        before = 3
        for channels in channels_of:
            steps.append(
                nn.Sequential(
                    *(nn.Conv2d(before, channels, 3, 2, 1), nn.GroupNorm(8, channels), nn.GELU()),
                    *(nn.Conv2d(channels, channels, 3, 1, 1), nn.GroupNorm(8, channels), nn.GELU()),
                    *(nn.Conv2d(channels, channels, 3, 1, 1), nn.GroupNorm(8, channels), nn.GELU()),
                )
            )
            before = channels
        super().__init__(steps)

    def forward(self, level: Tensor) -> list[Tensor]:
        """All levels."""
        levels = []
        for step in self:
            level = step(level)
            levels.append(level)
        return levels


class PlainProposer(MaskProposer):
    """A mask generator on a small convolutional encoder of its own."""

    def __init__(self, config: MaskProposerConfig) -> None:
        super().__init__(config)
        self.encoder = ConvolutionalEncoder(config.channels)

    def forward(
        self, features: Sequence[Tensor], objects: Tensor, attention: Tensor | None = None
    ) -> tuple[Proposals, list[Tensor]]:
        """Of pixels (B, 3, H, W), the only level."""
        return super().forward(self.encoder(features[0]), objects, None)
