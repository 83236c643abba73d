"""Calibrate the tiny UNet and train its heads on a large world, through the same steps as the command line."""

from __future__ import annotations

from common import arguments, recorded

from spade.core.workspace import Workspace
from spade.steps import calibrate, invert, train_relations, world
from spade.steps.common import Run
from spade.steps.config import CalibrateConfig, InvertConfig, TrainRelationsConfig
from spade_cli.console import Console

WORLD_SEED, ADAPTER_EPOCHS = 3_000, 3


def main() -> None:
    """World, inversion, calibration, heads; each step resumes or is found done."""
    options = arguments(__doc__ or "", epochs=12, samples=3600)
    run = Run(Workspace(options.output / "workspace"), Console())
    data, numbers = options.output / "world", {"seed": options.seed, "device": options.device}
    with recorded(options, "adapter", ADAPTER_EPOCHS) as metrics:
        world.run(data, options.samples, (128, 128), WORLD_SEED, run, setting="ovdr")
        config = InvertConfig(
            data=data, backbone=str(options.output / "backbone"), clip=str(options.output / "clip"), **numbers
        )
        invert.run(config, run)
        settings = {"epochs": ADAPTER_EPOCHS}
        calibrated = calibrate.run(CalibrateConfig(init="scratch", settings=settings, **numbers), run)
        metrics |= calibrated.result.to_json()
    print(metrics)
    with recorded(options, "heads") as metrics:
        settings = {"epochs": options.epochs}
        trained = train_relations.run(TrainRelationsConfig(init="scratch", settings=settings, **numbers), run)
        metrics |= trained.result.to_json()
    print(metrics)


if __name__ == "__main__":
    main()
