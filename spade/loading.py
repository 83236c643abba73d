"""Where models lie, what they say of themselves, and how one is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from spade.device import pick_device, pick_dtype
from spade.diffusion.backbone import embedded_model, fingerprint, load_backbone, resolve_backbone
from spade.diffusion.student import load_student
from spade.errors import SpadeError
from spade.files import canonical_hash, read_json, sha256_file
from spade.model import Model
from spade.naming import NameTable
from spade.novel_names import ODDS
from spade.open_vocabulary import load_clip, resolve_clip
from spade.relater import Relater
from spade.relations.layout import LayoutModel, LearnedWords, TextWords
from spade.relations.losses import prior_of
from spade.relations.model import Heads, HeadsConfig, RelationConfig, RelationHeads
from spade.vocabulary import Vocabulary
from spade.weights import load_weights
from spade.workspace import Workspace, nodes_of

MODEL_FORMAT = 2
LAYOUT_WEIGHTS = "layout.safetensors"


def packaged(nodes: str) -> Path:
    """The folder of the model of that kind that comes with the package."""
    if nodes == "diffusion":
        return embedded_model()
    return Path(str(resources.files("spade").joinpath("assets", "psg-relations")))


def find_model(source: str | Path | None, nodes: Sequence[str] = ("diffusion",)) -> Path:
    """The folder of a model: the packaged one of the first of these kinds, a model folder, or a workspace's newest of these kinds.

    A workspace that has none of them gives its newest of any; whoever has no use for that says so.
    """
    if source is None:
        return packaged(nodes[0])
    folder = Path(source)
    if (folder / "model.json").is_file():
        return folder
    if (folder / "train-relations").is_dir():
        workspace = Workspace(folder)
        fitting = workspace.newest("train-relations", fits=lambda artifact: nodes_of(artifact) in nodes)
        if (newest := fitting or workspace.newest("train-relations")) is not None:
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
    odds: float


def model_nodes(folder: Path) -> str:
    """What the model in a folder sees: "diffusion" or "layout"."""
    facts = read_json(folder / "model.json", "model", "train one with: spade train-relations")
    return str(facts.get("nodes", "diffusion")) if isinstance(facts, dict) else "diffusion"


@contextmanager
def _reading(path: Path) -> Iterator[dict[str, Any]]:
    """The facts in a model.json of this version; what is wrong with it as one SpadeError."""
    facts = read_json(path, "model", "train one with: spade train-relations")
    try:
        if facts["format"] != MODEL_FORMAT:
            raise ValueError(f"format {facts['format']!r}")
        yield facts
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SpadeError(f"{path}: is no model of format {MODEL_FORMAT} ({reason}); train it anew with: spade train-relations") from None


def describe(folder: Path) -> Description:
    """Read the model.json of a model that looks at pictures. Raises SpadeError where it is none of this version."""
    with _reading(folder / "model.json") as facts:
        if facts.get("nodes", "diffusion") != "diffusion":
            raise SpadeError(f"{folder}: is a model of labels and boxes, which needs segments; use it with --segments or --segmenter.")
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        return Description(
            str(facts["backbone"]),
            str(facts["clip"]),
            HeadsConfig.from_json(facts["heads"]),
            vocabulary,
            float(facts["fusion"]),
            float(facts.get("novel_odds", ODDS)),
        )


def model_fingerprint(folder: Path) -> str:
    """Hash of all that a model folder's predictions depend on: its own weights, its backbone and its OpenCLIP model."""
    if model_nodes(folder) == "layout":
        return layout_fingerprint(folder)
    description = describe(folder)
    own = [folder / "model.json", folder / "heads.safetensors", *sorted((folder / "adapter").glob("*"))]
    for path in own:
        if not path.is_file():
            raise SpadeError(f"{path}: this file of the model is missing; train it anew with: spade train-relations")
    parts = [fingerprint(resolve_backbone(description.backbone)), fingerprint(resolve_clip(description.clip))]
    return canonical_hash([[path.name, sha256_file(path)] for path in own] + parts)


@dataclass(frozen=True)
class LayoutDescription:
    """What model.json says of a model of labels and boxes; ``counts`` (P,) of its predicates in training."""

    config: RelationConfig
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    clip: str | None
    counts: tuple[float, ...]
    balance: float


def describe_layout(folder: Path) -> LayoutDescription:
    """Read the model.json of a model of labels and boxes. Raises SpadeError where it is none of this version."""
    with _reading(folder / "model.json") as facts:
        if facts.get("nodes") != "layout":
            raise SpadeError(f"{folder}: is a model that looks at pictures, not one of labels and boxes; leave --nodes layout out with it.")
        vocabulary, counts = Vocabulary.from_json(facts["vocabulary"]), tuple(float(n) for n in facts["counts"])
        if len(counts) != len(vocabulary.predicates):
            raise ValueError(f"{len(counts)} counts for {len(vocabulary.predicates)} predicates")
        clip = None if facts["clip"] is None else str(facts["clip"])
        groups = tuple(map(str, facts["groups"]))
        return LayoutDescription(RelationConfig.from_json(facts["relations"]), vocabulary, groups, clip, counts, float(facts["balance"]))


def layout_fingerprint(folder: Path) -> str:
    """The same of a model of labels and boxes."""
    clip = describe_layout(folder).clip
    own = [folder / "model.json", folder / LAYOUT_WEIGHTS]
    for path in own:
        if not path.is_file():
            raise SpadeError(f"{path}: this file of the model is missing; train it anew with: spade train-relations --nodes layout")
    parts = [] if clip is None else [fingerprint(resolve_clip(str(clip)))]
    return canonical_hash([[path.name, sha256_file(path)] for path in own] + parts)


def load_relater(source: str | Path | None = None, device: str = "auto", balance: float | None = None) -> Relater:
    """Load a model of labels and boxes: nothing for the packaged one, a workspace for its newest, or a model folder.

    balance: how much is done for rare predicates, from 0 (see ``Relater``); nothing for what the model was saved with.
    Raises SpadeError if the folder holds no such model, or one that does not fit together.
    """
    folder, place = find_model(source, ("layout",)), pick_device(device)
    own = describe_layout(folder)
    vocabulary, clip = own.vocabulary, None if own.clip is None else load_clip(own.clip, place)
    words: LearnedWords | TextWords
    if clip is None:
        words = LearnedWords(len(vocabulary.objects), max(1, len(own.groups)), len(vocabulary.predicates), own.config.clip_dim)
    else:
        words = TextWords(clip.embed_labels(vocabulary.objects), clip.embed_predicates(vocabulary.predicates))
    try:
        model = LayoutModel(RelationHeads(own.config), words)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise SpadeError(f"{folder}: no model of this shape can be built ({error}); train it anew with: spade train-relations") from None
    load_weights(model, folder / LAYOUT_WEIGHTS, "train them anew with: spade train-relations --nodes layout")
    origin = "packaged" if folder == packaged("layout") else folder.name
    told = {"name": origin, "nodes": "layout", "spade_model_format": MODEL_FORMAT}
    used, table = own.balance if balance is None else balance, NameTable(vocabulary.objects, own.groups)
    return Relater(model.to(place), vocabulary, table, prior_of(torch.tensor(own.counts)), used, told | {"balance": used}, clip)


def load_heads(folder: Path) -> Heads:
    """The trained heads of a model folder."""
    heads = Heads(describe(folder).heads)
    load_weights(heads, folder / "heads.safetensors", "train them anew with: spade train-relations")
    return heads


def load(
    source: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    fusion: float | None = None,
    novel_odds: float | None = None,
) -> Model:
    """Load a model: nothing for the packaged tiny one, a workspace for its newest trained one, or a model folder.

    fusion: exponent of the diffusion branch in [0, 1]; novel_odds: of names that training did not have (spade.novel_names), 0 for their
    text alone. Nothing for those that the model was trained with. Raises SpadeError
    if the folder holds no model, or one that does not fit together.
    """
    folder = find_model(source)
    description = describe(folder)
    place = pick_device(device)
    backbone = load_backbone(description.backbone, place, getattr(torch, pick_dtype(dtype, place)))
    student = load_student(backbone, load_clip(description.clip, place), folder / "adapter")
    heads = load_heads(folder)
    if novel_odds and not heads.config.untrained:
        raise SpadeError(
            f"--novel-odds {novel_odds}: this model's OpenCLIP tower sees no regions, and new names have their text alone; leave it out."
        )
    origin = "packaged" if folder == embedded_model() else folder.name
    facts = {"name": origin, "backbone": description.backbone, "spade_model_format": MODEL_FORMAT}
    fusion = description.fusion if fusion is None else fusion
    return Model(student, heads, description.vocabulary, facts, fusion, description.odds if novel_odds is None else novel_odds)
