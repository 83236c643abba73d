"""Put what a folder of the training scripts holds into the package, in half precision, with manifests of how it came
to be: backbone, CLIP and adapter where they are there, and each set of heads.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from spade.core.files import sha256_file, write_json
from spade.models.checkpoint import HEADS

LIMIT, HEADS_LIMIT = 16_000_000, 3_000_000  # bytes of a file, and of a set of heads
ORDER = (
    "words.py",
    "autoencoder.py",
    "clip.py --until 12",
    "unet.py",
    "unet.py --further --seed 1 --epochs 24",
    "adapter.py",
    "heads.py --epochs 13",
    "heads.py --epochs 7 --open --fitted 3000",
    "package.py",
    "heads.py --epochs 4 --open --seed 20 --rate 5e-4 --start tiny-open --fitted 3000 --validation 250",
    "package.py",
)
ABOUT = "Trained from scratch on spade's procedural world by the scripts in examples/tiny_model."
SHARED, MODELS = ("backbone", "clip", "adapter"), ("tiny", "tiny-open")
HEADS_PARTS = (*MODELS, "tiny-inductive")  # as heads.py names them; the last is not packaged
CURVE = ("epoch", "PQ", "R@20", "given_R@20")


def main() -> None:
    """Copy what is there; write manifest.json beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the folder that the training scripts filled")
    parser.add_argument("--assets", type=Path, default=Path(__file__).parents[2] / "spade" / "assets")
    options = parser.parse_args()
    log = [json.loads(line) for line in (options.model / "log.jsonl").read_text("utf-8").splitlines()]
    for line in log:
        for place in ("data", "images_root", "backbone", "clip"):
            line["metrics"].pop(place, None)
    for part in SHARED:
        if (options.model / part).is_dir():
            replace_folder(options.model / part, options.assets / "tiny" / part)
    for name in MODELS:
        place, curve = options.assets / name, []
        if (options.model / name / "model.json").is_file():
            place.mkdir(exist_ok=True)
            halve(options.model / name / HEADS, place / HEADS)
            shutil.copy(options.model / name / "model.json", place / "model.json")
            rows = (options.model / "curves" / f"{name}.jsonl").read_text("utf-8").splitlines()
            curve = [{key: row[key] for key in CURVE} for row in map(json.loads, rows)]
        if (place / "model.json").is_file():
            others = [other for other in HEADS_PARTS if other != name]
            write_manifest(place, [line for line in log if line["part"] not in others], curve)


def replace_folder(source: Path, target: Path) -> None:
    """Copy a folder over another, its own weights in half precision."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    if source.name == "adapter":
        for weights in source.glob("*.safetensors"):
            halve(weights, target / weights.name)


def halve(source: Path, target: Path) -> None:
    """Write weights in half precision, with the metadata that they have."""
    half = {name: value.half().contiguous() for name, value in load_file(source).items()}
    save_file(half, target, metadata=_metadata(source))


def write_manifest(folder: Path, log: Sequence[dict[str, Any]], curve: Sequence[dict[str, Any]] = ()) -> None:
    """What is in a folder and how it came to be; a log that the manifest there has already is kept and added to, but
    for what was trained again from nothing. curve: metrics of the heads on validation scenes, a row an epoch.

    Raises SystemExit for a file that is larger than the package may hold.
    """
    manifest_file = folder / "manifest.json"
    kept = json.loads(manifest_file.read_text("utf-8")) if manifest_file.is_file() else {"log": [], "curve": []}
    anew = {line["part"] for line in log if line not in kept["log"] and not line.get("start")}
    if anew & set(MODELS):
        anew.add("heads")  # as both sets of heads were called before
    before = [line for line in kept["log"] if line["part"] not in anew]
    added = [line for line in log if line not in before]
    whole, known = [*before, *added], kept.get("curve", [])
    if any(line.get("start") for line in added):  # a leg that went on from what is packaged
        last = max(row["epoch"] for row in known)
        curve = [*known, *(row | {"epoch": last + row["epoch"]} for row in curve if row["epoch"])]
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != manifest_file)
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in paths
    }
    for path, facts in files.items():
        limit = HEADS_LIMIT if path == HEADS else LIMIT
        if facts["bytes"] > limit:
            raise SystemExit(f"{folder / path}: {facts['bytes']:,} bytes; the package takes {limit:,} at most")
    minutes = round(sum(line["minutes"] for line in whole), 1)
    facts = {"about": ABOUT, "order": list(ORDER), "minutes": minutes, "log": whole, "files": files}
    write_json(manifest_file, facts | {"curve": list(curve if added and curve else known)})
    print(f"{folder}: {sum(file['bytes'] for file in files.values()) / 1e6:.1f} MB, {minutes} minutes of training")


def _metadata(path: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


if __name__ == "__main__":
    main()
