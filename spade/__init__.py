"""Open-vocabulary panoptic scene graphs with diffusion features.

>>> import spade
>>> graph = spade.load()("scene.png")  # doctest: +SKIP
>>> graph.triples()  # doctest: +SKIP
[('person', 'riding', 'horse'), ...]
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spade.core.errors import SpadeError

if TYPE_CHECKING:
    from pathlib import Path

    from spade.models.predictor import SceneGraphPredictor
    from spade.models.relation_predictor import RelationPredictor
    from spade.structures.scene_graph import Relation, SceneGraph, Segment
    from spade.structures.vocabulary import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "Relation",
    "SceneGraph",
    "Segment",
    "SpadeError",
    "Vocabulary",
    "__version__",
    "load",
    "load_relation_predictor",
]

_STRUCTURES = dict.fromkeys(("Relation", "SceneGraph", "Segment"), "spade.structures.scene_graph")
_STRUCTURES["Vocabulary"] = "spade.structures.vocabulary"


def load(source: str | Path | None = None, **options: Any) -> SceneGraphPredictor:
    """Load a predictor of scene graphs (see ``spade.models.load.load``); torch is imported only now."""
    from spade.models.load import load as load_model

    return load_model(source, **options)


def load_relation_predictor(source: str | Path | None = None, **options: Any) -> RelationPredictor:
    """Load a predictor of relations between given segments (see ``spade.models.load.load_relation_predictor``)."""
    from spade.models.load import load_relation_predictor as load_model

    return load_model(source, **options)


def _load_relater(source: str | Path | None = None, balance: float | None = None, **options: Any) -> RelationPredictor:
    """With the options that it had under its old name."""
    return load_relation_predictor(source, **({} if balance is None else {"logit_adjustment": balance}), **options)


def __getattr__(name: str) -> Any:
    """Classes are imported when they are first asked for: ``import spade`` alone loads nothing heavy."""
    if name == "load_relater":  # stays for one release
        warnings.warn("load_relater is load_relation_predictor now.", DeprecationWarning, stacklevel=2)
        return _load_relater
    if name in _STRUCTURES:
        return getattr(import_module(_STRUCTURES[name]), name)
    raise AttributeError(f"module 'spade' has no attribute {name!r}")
