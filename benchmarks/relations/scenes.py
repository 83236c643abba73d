"""Stage 2's surroundings: the worlds of each setting, the folders, and how much is done."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.relations.rows import full
from spade.core.files import canonical_hash
from spade.core.hub import fingerprint
from spade.core.workspace import Workspace
from spade.data.psg import Dataset
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.steps import world
from spade.steps.common import Run

WORLD_SEED = 5_000  # stage 1's scenes, annotated for each setting


def asked_for(description: str) -> argparse.Namespace:
    """The options of a benchmark that trains on these surroundings."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--work", type=Path, default=Path("stage2-work"), help="folder of the artifacts")
    parser.add_argument(
        "--students", type=Path, default=Path("stage1-work"), help="stage 1's folder; what is missing is made"
    )
    parser.add_argument("--processes", type=int, default=2, help="trainings side by side, a core each")
    return parser.parse_args()


@dataclass(frozen=True)
class Place:
    """Where artifacts lie, and how much is done."""

    work: Path
    students: Path  # stage 1's folder, whose students are found there or made
    scenes: int = 1500
    generator_epochs: int = 12
    epochs: int = 12
    calibration_epochs: int = 3

    def dataset(self, setting: str) -> Dataset:
        """The world of a setting: the same images in each."""
        return load_psg(self._world(setting))

    def make_worlds(self) -> None:
        """All three, if they are not there."""
        for setting in ("closed", "ovr", "ovdr"):
            if not (self._world(setting) / "psg.json").is_file():
                world.run(
                    self._world(setting),
                    self.scenes,
                    (128, 128),
                    WORLD_SEED,
                    Run(Workspace(self.work / "unused")),
                    setting=setting,
                )

    def measured(self) -> str:
        """What metrics depend on, as the results keep it: the tiny model's encoders, the full model, its size."""
        models = fingerprint(embedded_model() / "backbone") + fingerprint(embedded_model() / "clip")
        method = canonical_hash(str(full("closed").method.relations))[:8]
        return f"{canonical_hash(models)[:16]} {method} {self.scenes} {self.generator_epochs} {self.epochs}"

    def _world(self, setting: str) -> Path:
        return self.students / "world" if setting == "ovdr" else self.work / f"world-{setting}"
