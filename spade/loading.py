"""Where models lie, what they say of themselves, and how one is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from spade.device import pick_device, pick_dtype
from spade.diffusion.backbone import embedded_model, fingerprint, load_backbone, resolve_backbone
from spade.diffusion.student import load_student
from spade.errors import SpadeError
from spade.files import canonical_hash, read_json, sha256_file
from spade.model import Model
from spade.open_vocabulary import load_clip, resolve_clip
from spade.relations.model import Heads, HeadsConfig
from spade.vocabulary import Vocabulary
from spade.weights import load_weights
from spade.workspace import Workspace

MODEL_FORMAT = 2


def find_model(source: str | Path | None) -> Path:
    """The folder of a model: the packaged one, a model folder, or a workspace's newest trained one."""
    if source is None:
        return embedded_model()
    folder = Path(source)
    if (folder / "model.json").is_file():
        return folder
    if (folder / "train-relations").is_dir():
        newest = Workspace(folder).newest("train-relations")
        if newest is not None:
            return newest.path
    raise SpadeError(
        f"{folder}: holds no trained model (model.json); name a workspace where spade train-relations ran, or none for the packaged model."
    )


@dataclass(frozen=True)
class Description:
    """What model.json says: names of the backbone and the OpenCLIP model, the heads' shape, the training vocabulary."""

    backbone: str
    clip: str
    heads: HeadsConfig
    vocabulary: Vocabulary
    fusion: float


def describe(folder: Path) -> Description:
    """Read a model folder's model.json. Raises SpadeError where it is none of this version."""
    path = folder / "model.json"
    facts = read_json(path, "model", "train one with: spade train-relations")
    try:
        if facts["format"] != MODEL_FORMAT:
            raise ValueError(f"format {facts['format']!r}")
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        return Description(
            str(facts["backbone"]), str(facts["clip"]), HeadsConfig.from_json(facts["heads"]), vocabulary, float(facts["fusion"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SpadeError(f"{path}: is no model of format {MODEL_FORMAT} ({reason}); train it anew with: spade train-relations") from None


def model_fingerprint(folder: Path) -> str:
    """Hash of all that a model folder's predictions depend on: its own weights, its backbone and its OpenCLIP model."""
    description = describe(folder)
    own = [folder / "model.json", folder / "heads.safetensors", *sorted((folder / "adapter").glob("*"))]
    for path in own:
        if not path.is_file():
            raise SpadeError(f"{path}: this file of the model is missing; train it anew with: spade train-relations")
    parts = [fingerprint(resolve_backbone(description.backbone)), fingerprint(resolve_clip(description.clip))]
    return canonical_hash([[path.name, sha256_file(path)] for path in own] + parts)


def load_heads(folder: Path) -> Heads:
    """The trained heads of a model folder."""
    heads = Heads(describe(folder).heads)
    load_weights(heads, folder / "heads.safetensors", "train them anew with: spade train-relations")
    return heads


def load(source: str | Path | None = None, device: str = "auto", dtype: str = "auto", fusion: float | None = None) -> Model:
    """Load a model: nothing for the packaged tiny one, a workspace for its newest trained one, or a model folder.

    fusion: exponent of the diffusion branch in [0, 1]; nothing for the one that the model was trained with. Raises SpadeError
    if the folder holds no model, or one that does not fit together.
    """
    folder = find_model(source)
    description = describe(folder)
    place = pick_device(device)
    backbone = load_backbone(description.backbone, place, getattr(torch, pick_dtype(dtype, place)))
    student = load_student(backbone, load_clip(description.clip, place), folder / "adapter")
    heads = load_heads(folder)
    origin = "packaged" if folder == embedded_model() else folder.name
    facts = {"name": origin, "backbone": description.backbone, "spade_model_format": MODEL_FORMAT}
    return Model(student, heads, description.vocabulary, facts, description.fusion if fusion is None else fusion)
