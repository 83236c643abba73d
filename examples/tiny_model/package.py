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
    "heads.py",
    "heads.py --open",
    "package.py",
)
ABOUT = "Trained from scratch on spade's procedural world by the scripts in examples/tiny_model."
SHARED, MODELS = ("backbone", "clip", "adapter"), ("tiny", "tiny-open")


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
        place: Path = options.assets / name
        if (options.model / name / "model.json").is_file():
            place.mkdir(exist_ok=True)
            halve(options.model / name / HEADS, place / HEADS)
            shutil.copy(options.model / name / "model.json", place / "model.json")
        if (place / "model.json").is_file():
            others = [other for other in MODELS if other != name]
            write_manifest(place, [line for line in log if line["part"] not in others])


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


def write_manifest(folder: Path, log: Sequence[dict[str, Any]]) -> None:
    """What is in a folder and how it came to be; a log that the manifest there has already is kept and added to."""
    manifest_file = folder / "manifest.json"
    before = json.loads(manifest_file.read_text("utf-8"))["log"] if manifest_file.is_file() else []
    if any(line["part"] in MODELS for line in log):  # heads that these have replaced
        before = [line for line in before if line["part"] != "heads"]
    whole = [*before, *(line for line in log if line not in before)]
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != manifest_file)
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in paths
    }
    assert files[HEADS]["bytes"] <= HEADS_LIMIT, f"{HEADS} is larger than {HEADS_LIMIT} bytes"
    assert all(facts["bytes"] < LIMIT for facts in files.values()), f"a file is larger than {LIMIT} bytes"
    minutes = round(sum(line["minutes"] for line in whole), 1)
    facts = {"about": ABOUT, "order": list(ORDER), "minutes": minutes, "log": whole, "files": files}
    write_json(manifest_file, facts)
    print(f"{folder}: {sum(facts['bytes'] for facts in files.values()) / 1e6:.1f} MB, {minutes} minutes of training")


def _metadata(path: Path) -> dict[str, str] | None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


if __name__ == "__main__":
    main()
