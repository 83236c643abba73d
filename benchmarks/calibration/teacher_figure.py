"""docs/images/teacher.jpg: the teacher's maps of one scene, by timestep and grid."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.calibration.pointing import images, prompts_of
from spade.diffusion.backbone import load_backbone
from spade.diffusion.inversion import MapPlan
from spade.diffusion.teacher import read_span_maps
from spade.export.plots import maps_png
from spade.structures.vocabulary import plain_name
from spade.training.calibration import CalibrationTargets
from spade.world.annotation import make_sample

SEED, TIMESTEPS, STEPS = 4_500, (1, 101, 301, 501, 701), 20
GRIDS = {"16 x 16": (1,), "8 x 8": (2,)}
OUT = Path(__file__).parents[2] / "docs" / "images" / "teacher.jpg"


def main() -> None:
    """The first scene of the seed whose caption fits one prompt and names at least four segments."""
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    found = ((sample, prompts_of(backbone, sample)) for sample in (make_sample(SEED, i) for i in range(100)))
    sample, prompts = next((s, p) for s, p in found if len(p) == 1 and len(set(s.labels)) >= 4)
    columns, rows = [], dict[str, list[np.ndarray | None]]()
    for name, strides in GRIDS.items():
        for timestep in TIMESTEPS:
            (own,), _ = read_span_maps(backbone, images([sample]), [prompts], MapPlan(STEPS, (timestep,), strides))
            columns.append(f"{name}, t = {timestep}")
            for target in CalibrationTargets.of(own).targets:
                rows.setdefault(plain_name(target.label), []).append(target.map.float().numpy())
    sheet = Image.open(io.BytesIO(maps_png(Image.fromarray(sample.image), columns, rows))).convert("RGB")
    sheet.thumbnail((1400, 1400))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(OUT, "JPEG", quality=85)


if __name__ == "__main__":
    main()
