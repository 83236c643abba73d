"""Configs of steps from plain keywords: what is no field of a config is a setting of its method."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from spade.steps.config import CalibrateConfig, InvertConfig, TrainBoxesConfig, TrainRelationsConfig

C = TypeVar("C")


def config_of(kind: type[C], options: dict[str, Any]) -> C:
    """A config of this kind."""
    own = {field.name for field in fields(kind)}
    settings = {name: value for name, value in options.items() if name not in own}
    return kind(**{name: value for name, value in options.items() if name in own}, settings=settings)


def inverting(**options: Any) -> InvertConfig:
    return config_of(InvertConfig, options)


def calibrating(**options: Any) -> CalibrateConfig:
    return config_of(CalibrateConfig, options)


def relating(**options: Any) -> TrainRelationsConfig:
    return config_of(TrainRelationsConfig, options)


def boxing(**options: Any) -> TrainBoxesConfig:
    return config_of(TrainBoxesConfig, options)
