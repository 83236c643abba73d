"""An artifact: the complete result of a step in a folder of its own, its manifest written last of all."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spade.core.digests import digest
from spade.core.errors import SpadeError, SpadeWarning, given
from spade.core.files import TEMPORARY, sha256_file, write_json
from spade.core.text import counted

STATE = "state.safetensors"  # of a training under way; not part of its result
_VERSIONED = ("spade-psg", "torch", "diffusers", "transformers", "peft", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True)
class Artifact:
    """A complete result of a step."""

    step: str
    key: str
    path: Path
    manifest: Mapping[str, Any]


def keyed(config: Any) -> dict[str, Any]:
    """The fields of a frozen config that belong in the key, dataclasses in it as well: all but those marked
    ``execution``.
    """
    chosen = [f for f in fields(config) if not f.metadata.get("execution")]
    return {f.name: _plain(getattr(config, f.name)) for f in chosen}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return keyed(value) if is_dataclass(value) else value


class ArtifactWriter:
    """An artifact being made, or found already made (``cached``)."""

    def __init__(self, root: Path, facts: dict[str, Any], key: str, force: bool) -> None:
        self.facts, self.key, self.step = facts, key, str(facts["step"])
        self.path = root / self.step / key
        self._began = time.time()
        there = not force and (self.path / "manifest.json").is_file()
        lost = lost_or_altered(self.artifact) if there else []
        if lost:
            many = counted(len(lost), "file")
            warnings.warn(
                f"{self.path / lost[0]}: was lost or altered since it was written ({many} in all); the result is made "
                "anew.",
                SpadeWarning,
                stacklevel=2,
            )
        self.cached, self._force = there and not lost, force or bool(lost)
        self._lock: FileLock | None = None

    @property
    def anew(self) -> bool:
        """Whether what lies there goes when this begins: by ``force``, or because some of it was lost or altered."""
        return self._force

    @property
    def manifest(self) -> dict[str, Any]:
        """The finished artifact's manifest."""
        return read_manifest(self.path / "manifest.json")

    @property
    def artifact(self) -> Artifact:
        """The finished artifact."""
        return Artifact(self.step, self.key, self.path, self.manifest)

    def refresh(self, **result: Any) -> None:
        """Note in a finished artifact where its inputs lie now; what it was made from is the same by its key."""
        manifest = self.manifest
        if any(manifest["result"].get(name) != value for name, value in result.items()):
            write_json(self.path / "manifest.json", manifest | {"result": manifest["result"] | result})

    def begin(self, main: bool = True) -> None:
        """Take the folder: create it, refuse a second writer, clear what a killed run left half-written.

        With ``force`` the old result goes now, under the lock, and not before all checks of the inputs have passed.
        Several processes of one run pass ``main`` for the first alone.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpadeError(
                f"{self.path}: cannot be made ({error.strerror}); choose another {given('workspace')}."
            ) from None
        if not main:
            return
        self._lock = _lock(self.path / ".lock")
        if self._force:
            # The manifest first: without it the rest is a partial result.
            (self.path / "manifest.json").unlink(missing_ok=True)
            for old in self.path.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
                elif old.name != ".lock":
                    old.unlink()
        elif (self.path / "manifest.json").is_file():
            self.release()
            raise SpadeError(
                f"{self.path}: another spade process finished this just now; run the command again to use its result."
            )
        for leftover in self.path.rglob(f"*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)

    def file(self, name: str) -> Path:
        """Path of a payload file."""
        return self.path / name

    def finish(self, result: Mapping[str, Any]) -> Artifact:
        """Write the manifest, last of all; the artifact exists from here on."""
        passing = (".lock", "manifest.json", STATE)
        payload = sorted(p for p in self.path.rglob("*") if p.is_file() and p.name not in passing)
        files = {
            p.relative_to(self.path).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size} for p in payload
        }
        manifest = {
            "format": 1,
            "key": self.key,
            **self.facts,
            "result": dict(result),
            "files": files,
            "versions": _versions(),
            "threads": _threads(),
            "command": sys.argv,
            "finished": datetime.now(UTC).isoformat(timespec="microseconds"),
            "seconds": round(time.time() - self._began, 3),
        }
        write_json(self.path / "manifest.json", manifest)
        self.file(STATE).unlink(missing_ok=True)
        self.release()
        return Artifact(self.step, self.key, self.path, manifest)

    def abandon(self) -> None:
        """Remove what was begun, after a failure of which nothing is worth keeping, and parents that are empty then."""
        self.release()
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in (self.path.parent, self.path.parent.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _lock(path: Path) -> FileLock:
    """A lock that ends with the process, however it ends. The file stays: removing it would let two writers hold
    two.
    """
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise SpadeError(f"{path.parent}: another spade process is writing here; wait for it or stop it.") from None
    return lock


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest. Raises SpadeError where it is damaged."""
    try:
        data = json.loads(path.read_bytes())
        if not (isinstance(data, dict) and isinstance(data["result"], dict) and isinstance(data["files"], dict)):
            raise ValueError
        for facts in data["files"].values():
            if not (isinstance(facts["bytes"], int) and isinstance(facts["sha256"], str)):
                raise ValueError
        return data
    except OSError as error:
        raise SpadeError(f"{path}: this manifest cannot be read ({error.strerror}); mend that.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SpadeError(f"{path}: this manifest is damaged; remove its folder, and make the result anew.") from None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _threads() -> int:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count() or 1


def verify(artifact: Artifact, remedy: str) -> None:
    """Check an artifact's files against its manifest. Raises SpadeError naming the first damaged file."""
    for name in lost_or_altered(artifact):
        path = artifact.path / name
        raise SpadeError(f"{path}: this file was changed or damaged since {artifact.step} wrote it; {remedy}")


def lost_or_altered(artifact: Artifact) -> list[str]:
    """Names of an artifact's files that are not as its manifest has them. Raises SpadeError for one that is there and
    may not be read.
    """
    names = []
    for name, facts in artifact.manifest["files"].items():
        path = artifact.path / name
        try:
            if path.stat().st_size == facts["bytes"] and digest(path) == facts["sha256"]:
                continue
        except PermissionError as error:
            raise SpadeError(f"{path}: cannot be read ({error.strerror}); mend that.") from None
        except OSError:
            pass
        names.append(name)
    return names
