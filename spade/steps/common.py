"""What all steps share: how they are called and what they give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from spade.core.errors import SpadeError
from spade.core.progress import Reporter, Silent
from spade.core.workspace import Artifact, ArtifactWriter, Workspace
from spade.data.psg import Dataset, Record
from spade.data.psg_reader import load_psg

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """The surroundings of a step: none of it changes a result."""

    workspace: Workspace
    report: Reporter = field(default_factory=Silent)
    force: bool = False
    source: str | None = None  # --from: the key of the input artifact


@dataclass(frozen=True)
class StepResult:
    """What a step made or found."""

    step: str
    key: str
    path: Path
    cached: bool
    seconds: float
    result: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The one object that ``--json`` prints; an evaluation's figures stand at its top level too."""
        own = {**vars(self), "path": str(self.path), "result": dict(self.result)}
        return {**self.result, **own} if self.step == "eval" else own


def cached_result(draft: ArtifactWriter, strict: bool = False) -> StepResult:
    """The result of an artifact that was found complete; with ``strict`` what it skipped is an error still."""
    manifest = draft.manifest
    lists = [manifest["result"].get(name) for name in ("skipped", "skipped_pictures")]
    skipped = [problem for found in lists if isinstance(found, list) for problem in found]
    if strict and skipped:
        raise SpadeError(f"{skipped[0]} (--strict; {len(skipped)} skipped in all)")
    return StepResult(draft.step, draft.key, draft.path, True, 0.0, manifest["result"])


def finished_result(artifact: Artifact) -> StepResult:
    """The result of an artifact that was just finished."""
    manifest = artifact.manifest
    return StepResult(artifact.step, artifact.key, artifact.path, False, float(manifest["seconds"]), manifest["result"])


def open_dataset(data: Path, images: Path | None, report: Reporter, strict: bool) -> Dataset:
    """Load a data set and say what was left out; with ``strict`` anything left out is an error."""
    dataset = load_psg(data, images)
    tell_skipped(dataset.problems, "records", report, strict)
    return dataset


def choose_records(dataset: Dataset, split: str, limit: int | None, with_relations: bool) -> list[Record]:
    """Records of a split, at most ``limit``. Raises SpadeError when nothing is left."""
    records = [r for r in dataset.split(split) if not with_relations or r.training_triples()]
    if not records:
        what = "images with relations" if with_relations else "images"
        raise SpadeError(f"{dataset.source}: has no {what} in the split {split!r}; choose another --split or data set.")
    return records[:limit]


def no_source(run: Run, step: str) -> None:
    """Raise SpadeError where --from names an input artifact for a step that has none."""
    if run.source is not None:
        raise SpadeError(f"--from {run.source}: {step} takes no input artifact here; leave --from out.")


def absolute_if_local(name: str) -> str:
    """A model's name as later steps can use it from any folder."""
    return str(Path(name).resolve()) if Path(name).is_dir() and name != "tiny" else name


def tell_skipped(problems: Sequence[str], what: str, report: Reporter, strict: bool) -> None:
    """Name what was skipped: the first few, and how many more."""
    if not problems:
        return
    if strict:
        raise SpadeError(f"{problems[0]} (--strict; {len(problems)} {what} in all)")
    for line in problems[:5]:
        report.say(f"skipped: {line}")
    more = f", the first {min(5, len(problems))} named above" if len(problems) > 5 else ""
    report.say(f"skipped {len(problems)} {what}{more}")
