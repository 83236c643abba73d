"""Open-vocabulary panoptic scene graphs with diffusion features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spade.errors import SpadeError

if TYPE_CHECKING:
    from pathlib import Path

    from spade.model import Model

__version__ = "0.1.0"
__all__ = ["SpadeError", "__version__", "load"]


def load(source: str | Path | None = None, **options: Any) -> Model:
    """Load a model (see ``spade.loading.load``); torch is imported only now."""
    from spade.loading import load as load_model

    return load_model(source, **options)
