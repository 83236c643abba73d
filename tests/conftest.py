"""Fixtures: real models, only small ones. Nothing here is a mock."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line sets it, before torch is loaded

import pytest
import torch

from spade.core.workspace import Workspace
from spade.steps.common import Run, StepResult
from spade.steps.config import EvalConfig, ExportConfig, PredictConfig
from tests.configs import calibrating, inverting, relating

torch.set_num_threads(1)  # of tiny models, as steps do
# Tests have a memory of hashes of their own.
os.environ["SPADE_CACHE"] = tempfile.mkdtemp(prefix="spade-cache-")
# No test may depend on a hub; the libraries fail at once instead of trying.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that is not redistributed; tests that need it skip where it is not."""
    folder = Path(os.environ.get("SPADE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(
            f"{folder} is not there (SPADE_SHARED names it); it holds real PSG records that are not redistributed"
        )
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A world of 20 scenes, 4 of them test images."""
    from spade.steps.world import run

    out = tmp_path_factory.mktemp("world") / "psg"
    run(out, 20, (128, 128), 7, Run(Workspace(out.parent / "unused")))
    return out


@pytest.fixture(scope="session")
def model():
    """The packaged model."""
    import spade

    return spade.load()


@pytest.fixture(scope="session")
def backbone():
    """The packaged backbone, untouched by any LoRA; tests that add one take it off again."""
    from spade.diffusion.backbone import load_backbone

    return load_backbone("tiny", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def clip():
    """The packaged OpenCLIP model."""
    from spade.open_vocabulary.clip import load_clip

    return load_clip("tiny", torch.device("cpu"))


@pytest.fixture(scope="session")
def pipeline(world, tmp_path_factory) -> dict[str, StepResult | Run]:
    """Every step once on the small world, one epoch each: results by step name, and the Run under "run"."""
    from spade.steps import calibrate, evaluate, export_graph, invert, predict, train_relations

    run = Run(Workspace(tmp_path_factory.mktemp("pipeline") / "workspace"))
    scene = str(world / "images" / "000004.png")
    return {
        "run": run,
        "invert": invert.run(inverting(data=world), run),
        "calibrate": calibrate.run(calibrating(epochs=1), run),
        "train-relations": train_relations.run(relating(epochs=1), run),
        "predict": predict.run(PredictConfig(images=(scene,)), run),
        "eval": evaluate.run(EvalConfig(data=world), run),
        "export-graph": export_graph.run(ExportConfig(), run),
    }
