"""Model folders: model.json and weights, found, read once, written, fingerprinted; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spade.core.artifact import Artifact, verify
from spade.core.digests import digest
from spade.core.errors import SpadeError, given, reason_of
from spade.core.files import canonical_hash, read_json, write_bytes, write_json
from spade.core.hub import fingerprint
from spade.core.paths import user_path
from spade.core.workspace import COMMAND, Workspace
from spade.diffusion.backbone_files import embedded_model, resolve_backbone
from spade.models.config import UNSEEN_ODDS, HeadsConfig, PredictorOptions
from spade.open_vocabulary.clip_files import resolve_clip
from spade.relations.config import RelationHeadConfig
from spade.structures.label_index import LabelIndex
from spade.structures.vocabulary import Vocabulary, known_supercategory

if TYPE_CHECKING:
    from spade.models.predictor import SceneGraphPredictor
    from spade.relations.boxes import BoxRelationModel

FORMAT, FORMATS = 3, (2, 3)  # written, read
HEADS = "heads.safetensors"
COMMANDS = {"image": "spade train-relations", "boxes": "spade train-boxes"}
OPEN = "tiny-open"  # the packaged tiny model that learned the base names of the world's open setting alone
PACKAGED = ("tiny", OPEN, "psg-relations")
BOX_WEIGHTS = "boxes.safetensors"


def packaged(inputs: str) -> Path:
    """The folder of the packaged model that sees these inputs: "image" or "boxes"."""
    return {"image": embedded_model(), "boxes": _asset("psg-relations")}[inputs]


def packaged_open() -> Path:
    """The folder of the packaged model that has names to learn left: of data sets with novel names."""
    return _asset(OPEN)


def _asset(name: str) -> Path:
    return Path(str(resources.files("spade").joinpath("assets", name)))


def inputs_of(artifact: Artifact) -> str:
    """What a trained model of a workspace sees; ``train-relations`` made both kinds once."""
    result = artifact.manifest["result"]
    if artifact.step == "train-boxes" or result.get("nodes") == "layout":
        return "boxes"
    return "image"


def newest_model(workspace: Workspace, inputs: Collection[str], key: str | None = None) -> Artifact | None:
    """The newest model of a workspace that sees one of ``inputs``, or the one whose key starts with ``key``. Raises
    SpadeError where its files are not as they were written.
    """
    steps = ("train-relations", "train-boxes")
    newest = workspace.newest(steps, key, fits=lambda artifact: inputs_of(artifact) in inputs)
    if newest is not None:
        verify(newest, f"train it anew with: {COMMAND[newest.step]}")
    return newest


def find_model(source: str | Path | None, inputs: Collection[str] = ("image",)) -> Path:
    """The folder of a model: nothing for the packaged one of the first of these inputs, the short name of a packaged
    one, a model folder, or a workspace for its newest with these inputs.

    A workspace that has none of them gives its newest of any; whoever has no use for that says so.
    """
    if source is None:
        return packaged(next(iter(inputs)))
    folder = user_path(source)
    if str(source) in PACKAGED and not folder.exists():
        return _asset(str(source))
    if (folder / "model.json").is_file():
        return folder
    if any((folder / step).is_dir() for step in ("train-relations", "train-boxes")):
        workspace = Workspace(folder)
        newest = newest_model(workspace, inputs) or newest_model(workspace, ("image", "boxes"))
        if newest is not None:
            return newest.path
    raise SpadeError(
        f"{folder}: holds no trained model (model.json); name a model folder, a workspace where "
        f"{' or '.join(COMMANDS.values())} ran, or one of {', '.join(PACKAGED)}."
    )


@dataclass(frozen=True)
class ModelFile:
    """model.json of a model that sees images: its parts, the heads' shape, the training vocabulary, saved options."""

    folder: Path
    backbone: str
    clip: str
    heads: HeadsConfig
    vocabulary: Vocabulary
    options: PredictorOptions

    inputs = "image"

    @property
    def adapter(self) -> Path:
        """The folder of its adapter; the packaged models share one."""
        return (embedded_model() if self.folder == packaged_open() else self.folder) / "adapter"

    def fingerprint(self) -> str:
        """Hash of all that predictions depend on: own weights, backbone, OpenCLIP model."""
        files = [self.folder / "model.json", self.folder / HEADS, *sorted(self.adapter.glob("*"))]
        parts = [fingerprint(resolve_backbone(self.backbone)), fingerprint(resolve_clip(self.clip))]
        return canonical_hash([*_hashes(files, self.inputs), *parts])


@dataclass(frozen=True)
class BoxModelFile:
    """model.json of a model of labels and boxes; ``counts`` (P,) of its predicates in training."""

    folder: Path
    weights: Path
    head: RelationHeadConfig
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    clip: str | None
    counts: tuple[float, ...]
    options: PredictorOptions

    inputs = "boxes"

    def fingerprint(self) -> str:
        """Hash of all that predictions depend on."""
        parts = [] if self.clip is None else [fingerprint(resolve_clip(self.clip))]
        return canonical_hash([*_hashes([self.folder / "model.json", self.weights], self.inputs), *parts])


def _hashes(paths: list[Path], inputs: str) -> list[list[str]]:
    for path in paths:
        if not path.is_file():
            raise SpadeError(f"{path}: this file of the model is missing; train it anew with: {COMMANDS[inputs]}")
    return [[path.name, digest(path)] for path in paths]


def read_model(folder: Path) -> ModelFile | BoxModelFile:
    """Read a model folder's model.json, of this version or of format 2. Raises SpadeError where it is none."""
    with _facts(folder / "model.json") as facts:
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        if _inputs(facts) == "boxes":
            return _box_model(folder, facts, vocabulary)
        odds = facts["unseen_odds"] if facts["format"] > 2 else facts.get("novel_odds", UNSEEN_ODDS)
        options = PredictorOptions(fusion=float(facts["fusion"]), unseen_odds=float(odds))
        heads = HeadsConfig.from_json(facts["heads"])
        return ModelFile(folder, str(facts["backbone"]), str(facts["clip"]), heads, vocabulary, options)


def _box_model(folder: Path, facts: Mapping[str, Any], vocabulary: Vocabulary) -> BoxModelFile:
    counts = tuple(float(n) for n in facts["counts"])
    if len(counts) != len(vocabulary.predicates):
        raise ValueError(f"{len(counts)} counts for {len(vocabulary.predicates)} predicates")
    old = facts["format"] == 2
    return BoxModelFile(
        folder,
        folder / ("layout.safetensors" if old else BOX_WEIGHTS),
        RelationHeadConfig.from_json(facts["relations"]),
        vocabulary,
        tuple(map(str, facts["groups"])),
        None if facts["clip"] is None else str(facts["clip"]),
        counts,
        PredictorOptions(logit_adjustment=float(facts["balance" if old else "logit_adjustment"])),
    )


def read_image_model(folder: Path) -> ModelFile:
    """Read the folder of a model that sees images. Raises SpadeError for one of labels and boxes."""
    model = read_model(folder)
    if not isinstance(model, ModelFile):
        raise SpadeError(
            f"{folder}: is a model of labels and boxes, which needs segments; "
            f"use it with {given('segments')} or {given('segmenter')}."
        )
    return model


def read_box_model(folder: Path) -> BoxModelFile:
    """Read the folder of a model of labels and boxes. Raises SpadeError for one that sees images."""
    model = read_model(folder)
    if not isinstance(model, BoxModelFile):
        raise SpadeError(f"{folder}: is a model that sees images, not one of labels and boxes; name another.")
    return model


def _inputs(facts: Mapping[str, Any]) -> str:
    if facts["format"] == 2:
        return "boxes" if facts.get("nodes") == "layout" else "image"
    if facts["inputs"] not in COMMANDS:
        raise ValueError(f"inputs {facts['inputs']!r}")
    return str(facts["inputs"])


@contextmanager
def _facts(path: Path) -> Iterator[dict[str, Any]]:
    """The facts in a model.json of a known version; what is wrong with it as one SpadeError."""
    facts = read_json(path, "model", f"train one with: {COMMANDS['image']}")
    try:
        if facts["format"] not in FORMATS:
            raise ValueError(f"format {facts['format']!r}")
        yield facts
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SpadeError(
            f"{path}: is no model of format {FORMAT} ({reason_of(error)}); train it anew with: {COMMANDS['image']}"
        ) from None
    except SpadeError as error:
        raise SpadeError(f"{path}: {error}") from None


def save_model(folder: Path, model: SceneGraphPredictor, backbone: str, clip: str) -> None:
    """Write a model folder that ``spade.load`` reads: adapter, heads, and last model.json."""
    from spade.core.weights import to_bytes

    model.student.save(folder / "adapter")
    write_bytes(folder / HEADS, to_bytes(model.heads.state_dict()))
    facts = {
        "format": FORMAT,
        "inputs": "image",
        "backbone": backbone,
        "clip": clip,
        "heads": model.heads.config.to_json(),
        "vocabulary": model.vocabulary.to_json(),
        "fusion": model.fusion,
        "unseen_odds": model.unseen_odds,
    }
    write_json(folder / "model.json", facts)


def save_box_model(
    folder: Path,
    model: BoxRelationModel,
    vocabulary: Vocabulary,
    index: LabelIndex,
    counts: list[int],
    clip: str | None,
    logit_adjustment: float,
) -> None:
    """Write a model folder that ``spade.load_relation_predictor`` reads: weights, and last model.json.

    counts (P,): relations of each predicate in training.
    """
    from spade.core.weights import to_bytes

    objects = [
        replace(label, supercategory=label.supercategory or known_supercategory(label.name)) for label in index.labels
    ]
    write_bytes(folder / BOX_WEIGHTS, to_bytes(model.state_dict()))
    facts = {
        "format": FORMAT,
        "inputs": "boxes",
        "relations": asdict(model.heads.config),
        "vocabulary": replace(vocabulary, objects=tuple(objects)).to_json(),
        "groups": list(index.groups),
        "clip": clip,
        "counts": counts,
        "logit_adjustment": logit_adjustment,
    }
    write_json(folder / "model.json", facts)
