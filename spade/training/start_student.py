"""The student that a calibration starts from, and which of its parameters learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spade.core.quiet import hushed
from spade.diffusion import lora
from spade.diffusion.backbone import Backbone
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.config import CalibrationConfig
from spade.diffusion.student import Kind, Student, load_student, new_student
from spade.open_vocabulary.clip import OpenClip
from spade.training.calibration import Calibration

Parameters = dict[str, torch.nn.Parameter]


def start_student(
    config: CalibrationConfig, grids: tuple[int, ...], backbone: Backbone, clip: OpenClip, embedded: bool
) -> tuple[Student, Parameters]:
    """A student to be trained and its parameters: the packaged one, or a fresh one that looks on ``grids``."""
    from diffusers.utils import logging as diffusers_logging

    if embedded:
        student = load_student(backbone, clip, embedded_model() / "adapter")
        trained = lora.trainable(backbone.unet)
    else:
        kind = Kind(config.timestep, grids, config.train, config.alignment)
        student = new_student(backbone, clip, kind, config.tokens or 0)
        trained = {}
        if config.train == "lora":
            trained = lora.attach(backbone.unet, config.rank, config.scale, config.targets)
        elif config.train == "full":
            with hushed(diffusers_logging):  # nothing is cast that was to stay
                named = backbone.unet.float().named_parameters()
            trained = {f"unet.{name}": parameter.requires_grad_(True) for name, parameter in named}
    assert student.adapter is not None
    return student, trained | dict(student.adapter.requires_grad_(True).named_parameters())


def reached(
    parameters: Mapping[str, torch.nn.Parameter], calibration: Calibration, batch: Sequence[int], seed: int
) -> Parameters:
    """Those that the loss depends on: whatever comes after the last layer that is read learns nothing."""
    torch.manual_seed(seed)
    torch.stack([term.float() for term in calibration.losses(batch).values()]).sum().backward()
    reached_parameters = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    return reached_parameters
