"""What all steps share: how they are called and what they give back. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from spade.core.artifact import Artifact, ArtifactWriter
from spade.core.errors import SpadeError, given
from spade.core.progress import Reporter, Silent
from spade.core.text import counted
from spade.core.workspace import Workspace
from spade.steps.results import EvalResult, Result

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.data.split_lists import SplitList

R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True)
class Run:
    """The surroundings of a step: none of it changes a result."""

    workspace: Workspace
    report: Reporter = field(default_factory=Silent)
    force: bool = False
    source: str | None = None  # the key of the input artifact


@dataclass(frozen=True)
class StepResult(Generic[R_co]):
    """What a step made or found."""

    step: str
    key: str
    path: Path
    cached: bool
    seconds: float
    result: R_co

    def to_json(self) -> dict[str, Any]:
        """The one object that ``--json`` prints; an evaluation's metrics stand at its top level, too."""
        data = self.result.to_json()
        document = {**vars(self), "path": str(self.path), "result": data}
        return {**data, **document} if isinstance(self.result, EvalResult) else document


def cached_result(kind: type[R_co], writer: ArtifactWriter, strict: bool = False) -> StepResult[R_co]:
    """The result of an artifact that was found complete; with ``strict`` what it skipped is an error still."""
    artifact = writer.artifact
    lists = [artifact.manifest["result"].get(name) for name in ("skipped", "skipped_pictures", "skipped_images")]
    skipped = [problem for problems in lists if isinstance(problems, list) for problem in problems]
    if strict and skipped:
        raise SpadeError(f"{skipped[0]} ({given('strict')}; {len(skipped)} skipped in all)")
    return StepResult(writer.step, writer.key, writer.path, True, 0.0, kind.of(artifact))


def finished_result(kind: type[R_co], artifact: Artifact) -> StepResult[R_co]:
    """The result of an artifact that was just finished."""
    seconds = float(artifact.manifest["seconds"])
    return StepResult(artifact.step, artifact.key, artifact.path, False, seconds, kind.of(artifact))


def open_dataset(data: Path, images: Path | None, report: Reporter, strict: bool) -> Dataset:
    """Load a data set and say what was left out; with ``strict`` anything left out is an error."""
    from spade.data.readers import load_dataset

    dataset = load_dataset(data, images)
    for note in dataset.notes:
        report.say(f"note: {note}")
    report_skipped(dataset.problems, "records", report, strict)
    return dataset


def kept_from_training(dataset: Dataset, split: SplitList | None) -> tuple[Dataset, dict[str, Any]]:
    """The data set as training may see it, and what of the split belongs into a key: nothing where the annotation file,
    whose contents are hashed, says the same itself.
    """
    if split is None:
        return dataset.for_training(), {}
    applied = split.applied(dataset)
    own = (applied.novel_objects, applied.novel_predicates) == (dataset.novel_objects, dataset.novel_predicates)
    return applied.for_training(), {} if own else {"split_list": split.sha256}


def choose_records(dataset: Dataset, split: str, limit: int | None, with_relations: bool) -> list[Record]:
    """Records of a split, at most ``limit``. Raises SpadeError when nothing is left."""
    records = [r for r in dataset.split(split) if not with_relations or r.training_triples()]
    if not records:
        what = "images with relations" if with_relations else "images"
        raise SpadeError(
            f"{dataset.source}: has no {what} in the split {split!r}; choose another {given('split')} or data set."
        )
    return records[:limit]


def no_source(run: Run, step: str) -> None:
    """Raise SpadeError where an input artifact is named for a step that has none."""
    if run.source is not None:
        raise SpadeError(f"{given('source', run.source)}: {step} takes no input artifact here; leave it out.")


def absolute_if_local(name: str) -> str:
    """A model's name as later steps can use it from any folder."""
    return str(Path(name).resolve()) if Path(name).is_dir() and name != "tiny" else name


def report_skipped(problems: Sequence[str], what: str, report: Reporter, strict: bool) -> None:
    """Name what was skipped: the first few, and how many more."""
    if not problems:
        return
    if strict:
        raise SpadeError(f"{problems[0]} ({given('strict')}; {len(problems)} {what} in all)")
    for line in problems[:5]:
        report.say(f"skipped: {line}")
    more = f", the first {min(5, len(problems))} named above" if len(problems) > 5 else ""
    report.say(f"skipped {counted(len(problems), what.removesuffix('s'))}{more}")
