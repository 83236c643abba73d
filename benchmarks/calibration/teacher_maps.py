"""Where the tiny model's teacher maps look: the pointing game per grid and timestep, on scenes kept for choices."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.calibration.pointing import looks
from benchmarks.common.results import Results, arguments
from spade.core.hub import fingerprint
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY, embedded_model
from spade.world.annotation import make_sample

VALIDATION_SEED = 2_000  # the seed that examples/tiny_model watches, too: choices are made on these scenes
TIMESTEPS = ((1,), (101,), (201,), (301,), (401,), (501,), (701,), (401, 501, 601))
GRIDS = ((1,), (2,), (1, 2))  # strides in latent cells


def main() -> None:
    """One row a grid and timestep (several: the mean of their maps), things and stuff apart, beside chance."""
    options = arguments(__doc__ or "")
    results = Results(
        "teacher_maps",
        options,
        (VALIDATION_SEED,),
        f"{fingerprint(embedded_model() / 'backbone')} {TINY.inversion.steps}",
    )
    samples = [make_sample(VALIDATION_SEED, i) for i in range(8 if options.quick else 256)]
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    for strides in GRIDS:
        for timesteps in TIMESTEPS[: 2 if options.quick else None]:
            setting = {
                "grid": " and ".join(f"{16 // stride} x {16 // stride}" for stride in strides),
                "timesteps": list(timesteps),
            }
            if results.has(setting):
                continue
            found = [look for row in looks(backbone, samples, TINY.inversion.steps, timesteps, strides) for look in row]
            metrics = {}
            for kind, thing in (("things", True), ("stuff", False)):
                own = [look for look in found if look.thing == thing]
                for name, value in (("pointing", "hit"), ("mass_inside", "inside"), ("chance", "chance")):
                    metrics[f"{name}_{kind}"] = round(100 * float(np.mean([getattr(look, value) for look in own])), 1)
            results.add(setting, metrics)
    results.show(options)


if __name__ == "__main__":
    main()
