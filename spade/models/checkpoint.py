"""SceneGraphPredictor folders: model.json and weights, read once, written, fingerprinted; nothing heavy is imported
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, read_json, sha256_file, write_bytes, write_json
from spade.core.weights import to_bytes
from spade.core.workspace import Workspace, nodes_of
from spade.diffusion.backbone_files import embedded_model, fingerprint, resolve_backbone
from spade.models.config import UNSEEN_ODDS, HeadsConfig
from spade.models.predictor import SceneGraphPredictor
from spade.open_vocabulary.clip_files import resolve_clip
from spade.relations.config import RelationHeadConfig
from spade.structures.label_index import LabelIndex
from spade.structures.vocabulary import Vocabulary, known_supercategory
from spade.training.boxes import BoxTraining

MODEL_FORMAT = 2
BOX_WEIGHTS = "layout.safetensors"


def packaged(nodes: str) -> Path:
    """The folder of the model of that kind that comes with the package."""
    if nodes == "diffusion":
        return embedded_model()
    return Path(str(resources.files("spade").joinpath("assets", "psg-relations")))


def find_model(source: str | Path | None, nodes: Sequence[str] = ("diffusion",)) -> Path:
    """The folder of a model: the packaged one of the first of these kinds, a model folder, or a workspace's newest of
    these kinds.

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
        f"{folder}: holds no trained model (model.json); name a workspace where spade train-relations ran, or none for "
        "the packaged model."
    )


@dataclass(frozen=True)
class ModelFile:
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
        raise SpadeError(
            f"{path}: is no model of format {MODEL_FORMAT} ({reason}); train it anew with: spade train-relations"
        ) from None


def read_model(folder: Path) -> ModelFile:
    """Read the model.json of a model that looks at pictures. Raises SpadeError where it is none of this version."""
    with _reading(folder / "model.json") as facts:
        if facts.get("nodes", "diffusion") != "diffusion":
            raise SpadeError(
                f"{folder}: is a model of labels and boxes, which needs segments; use it with --segments or "
                "--segmenter."
            )
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        return ModelFile(
            str(facts["backbone"]),
            str(facts["clip"]),
            HeadsConfig.from_json(facts["heads"]),
            vocabulary,
            float(facts["fusion"]),
            float(facts.get("novel_odds", UNSEEN_ODDS)),
        )


def model_fingerprint(folder: Path) -> str:
    """Hash of all that a model folder's predictions depend on: its own weights, its backbone and its OpenCLIP model."""
    if model_nodes(folder) == "layout":
        return box_model_fingerprint(folder)
    description = read_model(folder)
    own = [folder / "model.json", folder / "heads.safetensors", *sorted((folder / "adapter").glob("*"))]
    for path in own:
        if not path.is_file():
            raise SpadeError(f"{path}: this file of the model is missing; train it anew with: spade train-relations")
    parts = [fingerprint(resolve_backbone(description.backbone)), fingerprint(resolve_clip(description.clip))]
    return canonical_hash([[path.name, sha256_file(path)] for path in own] + parts)


@dataclass(frozen=True)
class BoxModelFile:
    """What model.json says of a model of labels and boxes; ``counts`` (P,) of its predicates in training."""

    config: RelationHeadConfig
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    clip: str | None
    counts: tuple[float, ...]
    balance: float


def read_box_model(folder: Path) -> BoxModelFile:
    """Read the model.json of a model of labels and boxes. Raises SpadeError where it is none of this version."""
    with _reading(folder / "model.json") as facts:
        if facts.get("nodes") != "layout":
            raise SpadeError(
                f"{folder}: is a model that looks at pictures, not one of labels and boxes; leave --nodes layout out "
                "with it."
            )
        vocabulary, counts = Vocabulary.from_json(facts["vocabulary"]), tuple(float(n) for n in facts["counts"])
        if len(counts) != len(vocabulary.predicates):
            raise ValueError(f"{len(counts)} counts for {len(vocabulary.predicates)} predicates")
        clip = None if facts["clip"] is None else str(facts["clip"])
        groups = tuple(map(str, facts["groups"]))
        return BoxModelFile(
            RelationHeadConfig.from_json(facts["relations"]), vocabulary, groups, clip, counts, float(facts["balance"])
        )


def box_model_fingerprint(folder: Path) -> str:
    """The same of a model of labels and boxes."""
    clip = read_box_model(folder).clip
    own = [folder / "model.json", folder / BOX_WEIGHTS]
    for path in own:
        if not path.is_file():
            raise SpadeError(
                f"{path}: this file of the model is missing; train it anew with: spade train-relations --nodes layout"
            )
    parts = [] if clip is None else [fingerprint(resolve_clip(str(clip)))]
    return canonical_hash([[path.name, sha256_file(path)] for path in own] + parts)


def save_box_model(folder: Path, job: BoxTraining, table: LabelIndex, clip: str | None, balance: float) -> None:
    """Write a model folder that ``spade.load_relation_predictor`` reads: weights, and last model.json."""
    objects = [
        replace(label, supercategory=label.supercategory or known_supercategory(label.name)) for label in table.labels
    ]
    vocabulary = replace(job.dataset.vocabulary, objects=tuple(objects))
    write_bytes(folder / BOX_WEIGHTS, to_bytes(job.model.state_dict()))
    facts = {
        "format": MODEL_FORMAT,
        "nodes": "layout",
        "relations": asdict(job.model.heads.config),
        "vocabulary": vocabulary.to_json(),
        "groups": list(table.groups),
        "clip": clip,
        "counts": job.counts.tolist(),
        "balance": balance,
    }
    write_json(folder / "model.json", facts)


def save_model(folder: Path, model: SceneGraphPredictor, backbone: str, clip: str) -> None:
    """Write a model folder that ``spade.load`` reads: adapter, heads, and last model.json."""
    model.student.save(folder / "adapter")
    write_bytes(folder / "heads.safetensors", to_bytes(model.heads.state_dict()))
    facts = {
        "format": MODEL_FORMAT,
        "backbone": backbone,
        "clip": clip,
        "heads": model.heads.config.to_json(),
        "vocabulary": model.vocabulary.to_json(),
        "fusion": model.fusion,
        "novel_odds": model.odds,
    }
    write_json(folder / "model.json", facts)
