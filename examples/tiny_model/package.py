"""Put a trained tiny model into the package, in half precision, with a manifest of how it came to be."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from spade.core.files import sha256_file, write_json
from spade.core.workspace import Workspace

LIMIT = 16_000_000  # bytes a file


def main() -> None:
    """Copy backbone, CLIP, adapter and heads; write model.json and manifest.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the folder that the training scripts filled")
    parser.add_argument("--target", type=Path, default=Path(__file__).parents[2] / "spade" / "assets" / "tiny")
    options = parser.parse_args()
    trained = Workspace(options.model / "workspace").need("train-relations", "packaging")
    target: Path = options.target
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(options.model / "backbone", target / "backbone")
    shutil.copytree(options.model / "clip", target / "clip")
    shutil.copytree(trained.path / "adapter", target / "adapter")
    for weights in (trained.path / "heads.safetensors", *(trained.path / "adapter").glob("*.safetensors")):
        place = target / weights.relative_to(trained.path)
        half = {name: value.half().contiguous() for name, value in load_file(weights).items()}
        save_file(half, place, metadata=_metadata(weights))
    facts = json.loads((trained.path / "model.json").read_text("utf-8"))
    write_json(target / "model.json", facts | {"backbone": "tiny", "clip": "tiny"})
    log = [json.loads(line) for line in (options.model / "log.jsonl").read_text("utf-8").splitlines()]
    for line in log:
        for place in ("data", "images_root", "backbone", "clip"):
            line["metrics"].pop(place, None)
    files = {p.relative_to(target).as_posix(): p for p in sorted(target.rglob("*")) if p.is_file()}
    manifest = {
        "about": (
            "The embedded tiny model. Trained from scratch on spade's procedural "
            "world by the scripts in examples/tiny_model."
        ),
        "order": [
            "words.py",
            "autoencoder.py",
            "clip.py --until 12",
            "unet.py",
            "unet.py --further --seed 1 --epochs 24",
            "heads.py",
            "package.py",
        ],
        "minutes": round(sum(line["minutes"] for line in log), 1),
        "log": log,
        "files": {name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for name, path in files.items()},
    }
    write_json(target / "manifest.json", manifest)
    for name, path in files.items():
        assert path.stat().st_size < LIMIT, f"{name} is larger than {LIMIT} bytes"
    print(
        f"{sum(p.stat().st_size for p in files.values()) / 1e6:.1f} MB in "
        f"{target}; {manifest['minutes']} minutes of training"
    )


def _metadata(path: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


if __name__ == "__main__":
    main()
