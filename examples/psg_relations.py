"""Train the packaged relations of labels and boxes on PSG's annotation, evaluate them on its test records, and put them
into the package.

python examples/psg_relations.py psg.json.gz --without psg_mini/psg.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from spade.core.files import sha256_file, write_bytes, write_json
from spade.core.weights import to_bytes
from spade.core.workspace import Workspace
from spade.models.checkpoint import BOX_WEIGHTS
from spade.steps import evaluate, train_boxes
from spade.steps.common import Run
from spade.steps.config import EvalConfig, TrainBoxesConfig
from spade_cli.console import Console

LICENCE = (
    "Weights: Apache-2.0, as the package. Trained on annotations of PSG (Yang et al., ECCV 2022), which go back to "
    "COCO panoptic and Visual Genome (annotations CC BY 4.0); no record of them is in the weights' files."
)


def main() -> None:
    """Train, evaluate, package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="annotation in PSG's format; its test_image_ids are not learned from")
    parser.add_argument("--without", type=Path, help="another such file: its images are left out, too")
    parser.add_argument("--output", type=Path, default=Path("psg-relations"), help="folder of the workspace")
    parser.add_argument("--epochs", type=int, help="default: the step's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path, default=Path(__file__).parents[1] / "spade" / "assets" / "psg-relations")
    options = parser.parse_args()
    run = Run(Workspace(options.output / "workspace"), Console())
    data, left_out = _thinned(options.data, options.without, options.output / "psg.json")
    settings = {} if options.epochs is None else {"epochs": options.epochs}
    trained = train_boxes.run(TrainBoxesConfig(data=data, seed=options.seed, settings=settings), run)
    made = options.output / "packaged"
    shutil.rmtree(made, ignore_errors=True)
    weights = {name: value.half() for name, value in load_file(trained.path / BOX_WEIGHTS).items()}
    write_bytes(made / BOX_WEIGHTS, to_bytes(weights))
    shutil.copyfile(trained.path / "model.json", made / "model.json")
    judged = {
        point: evaluate.run(EvalConfig(data=data, mode="predcls", model=made, settings=own), run).result.metrics
        for point, own in (("recall", {"logit_adjustment": 0.0}), ("packaged", {}))
    }
    minutes = round(float(_manifest(trained.path)["seconds"]) / 60, 1)
    names = [f"{name}@{k}" for k in (20, 50, 100) for name in ("R", "mR", "PR")]
    manifest = {
        "about": "Relations of labels and boxes, learned from PSG's annotation by examples/psg_relations.py.",
        "data": (
            f"{options.data.name} without its test records and {left_out} records kept for tests; sha256 "
            f"{sha256_file(options.data)}"
        ),
        "licence": LICENCE,
        "seed": options.seed,
        "train_images": trained.result.train_images,
        "validation_images": trained.result.validation_images,
        "parameters": trained.result.parameters,
        "logit_adjustment": trained.result.logit_adjustment,
        "minutes": minutes,
        "metrics": {point: {name: round(100 * result[name], 2) for name in names} for point, result in judged.items()},
        "files": {
            path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in sorted(made.iterdir())
        },
    }
    write_json(made / "manifest.json", manifest)
    target: Path = options.target
    if target.exists() and not (target / "model.json").is_file():
        raise SystemExit(f"{target}: is no model's folder, so nothing is replaced; the model lies in {made}")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)
    print(f"{sum(p.stat().st_size for p in target.iterdir()) / 1e6:.1f} MB in {target}; {minutes} minutes of training")


def _thinned(data: Path, without: Path | None, place: Path) -> tuple[Path, int]:
    """The annotation without another file's images, and how many records that takes away; both of one annotated twice
    go.
    """
    document = json.loads(_read(data))
    others = (
        set() if without is None else {str(record["coco_image_id"]) for record in json.loads(_read(without))["data"]}
    )
    kept = [record for record in document["data"] if str(record.get("coco_image_id", "")) not in others]
    write_bytes(place, json.dumps(document | {"data": kept}).encode())
    return place, len(document["data"]) - len(kept)


def _read(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return manifest


if __name__ == "__main__":
    main()
