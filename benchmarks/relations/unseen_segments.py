"""What the packaged tiny model finds of names that its adapter and heads were not trained on: segments, and their
names.

A segment is found where one of the prediction covers it with an IoU above a half, whatever it is called.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import spade
from benchmarks.common.results import Results, arguments
from spade.core.workspace import Workspace
from spade.data.images import read_image
from spade.data.psg_reader import load_psg
from spade.data.samples import annotated_ids
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.steps import world
from spade.steps.common import Run
from spade.world.dataset import novel_names

WORLD_SEED = 9_400  # of no training and no other benchmark


def main() -> None:
    """Scenes of a world of its own, under all 25 names."""
    options = arguments(__doc__ or "")
    scenes = 6 if options.quick else 80
    results = Results("novel_segments", options, [WORLD_SEED], read_model(packaged_open()).fingerprint())
    if not results.data["rows"]:
        with tempfile.TemporaryDirectory() as folder:
            for kind, counts in _counts(Path(folder), scenes).items():
                results.add({"names": kind, "scenes": scenes}, counts)
    results.show(options)


def _counts(folder: Path, scenes: int) -> dict[str, dict[str, int]]:
    world.run(folder / "world", scenes, (128, 128), WORLD_SEED, Run(Workspace(folder / "unused")), setting="closed")
    dataset, model, (novel, _) = load_psg(folder / "world"), spade.load(OPEN), novel_names("ovdr")
    counts = {kind: {"segments": 0, "found": 0, "named": 0} for kind in ("base", "novel things", "novel stuff")}
    for record in dataset.records:
        graph = model.predict(read_image(dataset.image_path(record)), dataset.vocabulary).graph
        truth = annotated_ids(dataset, record)
        for segment in record.segments:
            name, mask = dataset.classes[segment.category], truth == segment.id
            own = counts["base" if name not in novel else "novel things" if segment.is_thing else "novel stuff"]
            own["segments"] += 1
            for found in graph.segments:
                other = graph.panoptic == found.id
                if np.count_nonzero(mask & other) > 0.5 * np.count_nonzero(mask | other):
                    own["found"] += 1
                    own["named"] += found.label == name
    return counts


if __name__ == "__main__":
    main()
