"""Calibrate the tiny UNet on a large world, through the same steps as the command line."""

from __future__ import annotations

import shutil

from common import arguments, recorded

from spade.core.workspace import Workspace
from spade.steps import calibrate, invert, world
from spade.steps.common import Run
from spade.steps.config import CalibrateConfig, InvertConfig
from spade_cli.console import Console

WORLD_SEED = 3_000


def main() -> None:
    """World, inversion, calibration; each step resumes or is found done."""
    options = arguments(__doc__ or "", epochs=3, samples=3600)
    run = Run(Workspace(options.output / "workspace"), Console())
    data, numbers = options.output / "world", {"seed": options.seed, "device": options.device}
    with recorded(options, "adapter") as metrics:
        world.run(data, options.samples, (128, 128), WORLD_SEED, run, setting="ovdr")
        config = InvertConfig(
            data=data, backbone=str(options.output / "backbone"), clip=str(options.output / "clip"), **numbers
        )
        invert.run(config, run)
        settings = {"epochs": options.epochs}
        calibrated = calibrate.run(CalibrateConfig(init="scratch", settings=settings, **numbers), run)
        metrics |= calibrated.result.to_json()
    shutil.copytree(calibrated.path / "adapter", options.output / "adapter", dirs_exist_ok=True)
    print(metrics)


if __name__ == "__main__":
    main()
