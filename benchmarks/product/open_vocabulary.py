"""``examples/open_vocabulary.sh``: how long an open-vocabulary experiment takes from nothing to its table, and what it
says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common.results import Results, arguments
from spade.models.checkpoint import packaged_open, read_model

SCRIPT = Path(__file__).parents[2] / "examples" / "open_vocabulary.sh"
IMAGES = 500


def main() -> None:
    """One run; its table in percent."""
    options = arguments(__doc__ or "")
    images = 20 if options.quick else IMAGES
    results = Results("open_vocabulary", options, [0], read_model(packaged_open()).fingerprint())
    setting = {"images": images}
    if not results.has(setting):
        results.add(setting, _run(images))
    results.headline(seconds=results.data["rows"][0]["metrics"]["seconds"])
    results.show(options)


def _run(images: int) -> dict[str, Any]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = ["sh", str(SCRIPT), "here", str(images)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
        seconds = round(time.perf_counter() - began, 1)
        (report,) = (Path(folder) / "here" / "workspace" / "eval").glob("*/report.json")
        rows = json.loads(report.read_text("utf-8"))["open_vocabulary"]["rows"]
    return {"seconds": seconds} | {
        f"{row['protocol']}, {row['part']} {row['by'] or ''}".strip(): {
            name: None if row[name] is None else round(100 * row[name], 2) for name in ("R@50", "mR@50", "R@100")
        }
        for row in rows
    }


if __name__ == "__main__":
    main()
