"""Open-vocabulary panoptic scene graphs with diffusion features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spade.errors import SpadeError

if TYPE_CHECKING:
    from pathlib import Path

    from spade.model import Model
    from spade.relater import Relater

__version__ = "0.1.0"
__all__ = ["SpadeError", "__version__", "load", "load_relater"]


def load(source: str | Path | None = None, **options: Any) -> Model:
    """Load a model (see ``spade.loading.load``); torch is imported only now."""
    from spade.loading import load as load_model

    return load_model(source, **options)


def load_relater(source: str | Path | None = None, **options: Any) -> Relater:
    """Load a model of relations between given segments (see ``spade.loading.load_relater``)."""
    from spade.loading import load_relater as load_model

    return load_model(source, **options)
