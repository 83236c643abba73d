"""The workspace: each step's results under a key that says what they were made from.

``<workspace>/<step>/<key>/`` holds the payload and, written last, ``manifest.json``: an artifact exists when its
manifest does. Keys depend on the step, its version, its configuration, its inputs' keys and the fingerprints of
data and models; never on time, place or verbosity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spade.core.artifact import Artifact, ArtifactWriter, read_manifest
from spade.core.errors import SpadeError, given
from spade.core.files import canonical_hash

STEPS = (
    "invert",
    "calibrate",
    "maps",
    "train-relations",
    "train-boxes",
    "vocabulary",
    "predictions",
    "predict",
    "eval-predictions",  # of workspaces made before predictions had a step of their own
    "eval",
    "worth",
    "export-graph",
)
QUICKSTART = "quickstart"  # the folder of what spade quickstart makes: a workspace of its own

COMMAND = {step: f"spade {step}" for step in STEPS} | {
    "vocabulary": "spade predict",
    "predictions": "spade eval",
    "eval-predictions": "spade eval",
    "worth": "spade quickstart",
}


class Workspace:
    """A folder of artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.exists() and not root.is_dir():
            raise SpadeError(f"{root}: is a file; name a folder with {given('workspace')}.")

    @property
    def quickstart(self) -> Path:
        """Of the workspace in which ``spade quickstart`` works: none of it is another command's newest result here."""
        return self.root / QUICKSTART

    def writer(
        self,
        step: str,
        version: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, str] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> ArtifactWriter:
        """Open the artifact that these arguments name; ``force`` throws away what is there."""
        facts = {
            "step": step,
            "version": version,
            "config": dict(config),
            "inputs": dict(inputs or {}),
            "fingerprints": dict(fingerprints or {}),
        }
        return ArtifactWriter(self.root, facts, canonical_hash(facts)[:12], force)

    def artifacts(self, step: str) -> list[Artifact]:
        """Complete artifacts of a step, oldest first. Raises SpadeError for a damaged one that would be the newest."""
        artifacts, changed = [], 0.0
        damaged: list[tuple[float, SpadeError]] = []
        for manifest in self._manifests(step):
            try:
                artifacts.append(Artifact(step, manifest.parent.name, manifest.parent, read_manifest(manifest)))
                changed = max(changed, manifest.stat().st_mtime)
            except SpadeError as error:
                damaged.append((manifest.stat().st_mtime, error))
        for when, problem in damaged:
            if when >= changed:
                remedy = f"; the command is: {COMMAND[step]}" if step in COMMAND else ""
                raise SpadeError(f"{str(problem).rstrip('.')}{remedy}.")
        return sorted(artifacts, key=_finished)

    def _manifests(self, step: str) -> list[Path]:
        return [folder / "manifest.json" for folder in self._folders(step) if (folder / "manifest.json").is_file()]

    def _folders(self, step: str) -> list[Path]:
        """Listed, not globbed: a folder that may not be read is said to be so."""
        place = self.root / step
        return sorted(folder for folder in place.iterdir() if folder.is_dir()) if place.is_dir() else []

    def newest(
        self,
        steps: str | Sequence[str],
        key: str | None = None,
        fits: Callable[[Artifact], bool] = lambda artifact: True,
    ) -> Artifact | None:
        """The newest artifact of a step, or of several, that ``fits``; or the one whose key starts with ``key``.

        Raises SpadeError where ``key`` names none or several.
        """
        names = (steps,) if isinstance(steps, str) else tuple(steps)
        there = sorted((artifact for step in names for artifact in self.artifacts(step)), key=_finished)
        if key is None:
            return next((artifact for artifact in reversed(there) if fits(artifact)), None)
        named = [artifact for artifact in there if artifact.key.startswith(key)]
        if len(named) != 1:
            what = "no" if not named else "more than one"
            raise SpadeError(
                f"{self.root}: {what} {' or '.join(names)} artifact has a key that starts with {key!r}; "
                "spade status lists them."
            )
        return named[0]

    def need(self, step: str, needed_by: str, key: str | None = None) -> Artifact:
        """``newest`` for a command that cannot do without. Raises SpadeError with the command that makes one."""
        newest = self.newest(step, key)
        if newest is None:
            command = COMMAND[step]
            raise SpadeError(
                f"{self.root}: {needed_by} needs the result of {command}, which is not there; run first: {command}"
            )
        return newest

    def status(self) -> list[dict[str, Any]]:
        """One row for each artifact, complete or partial."""
        rows = []
        for step in STEPS:
            for folder in self._folders(step):
                done = (folder / "manifest.json").is_file()
                damaged = False
                try:
                    manifest = read_manifest(folder / "manifest.json") if done else {}
                except SpadeError:
                    manifest, damaged = {}, True
                size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
                rows.append(
                    {
                        "step": step,
                        "key": folder.name,
                        "complete": done and not damaged,
                        "damaged": damaged,
                        "inputs": manifest.get("inputs", {}),
                        "finished": manifest.get("finished"),
                        "seconds": manifest.get("seconds"),
                        "bytes": size,
                        "path": str(folder),
                    }
                )
        return rows


def _finished(artifact: Artifact) -> str:
    return str(artifact.manifest.get("finished", ""))
