"""What the benchmarks share: one json file a benchmark, a row at a time, continued by a rerun."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spade.core.files import write_json

RESULTS = Path(__file__).parents[1] / "results"


def arguments(description: str, compared: str = "") -> argparse.Namespace:
    """``--quick`` (the same code in under a minute, kept nowhere) and ``--json``; with ``compared``, what they hold,
    ``--compared`` takes folders, too.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    if compared:
        parser.add_argument("--compared", type=Path, nargs="+", default=[], metavar="FOLDER", help=compared)
    return parser.parse_args()


class Results:
    """A benchmark's result file; rows of settings already there are not measured again."""

    def __init__(
        self, name: str, options: argparse.Namespace, seeds: Sequence[int], of: str = "", flags: str = ""
    ) -> None:
        """of: what was measured (a version, a model's fingerprint); rows of something else are measured anew. flags: of
        the command.
        """
        self.path = None if options.quick else RESULTS / f"{name}.json"
        self.data: dict[str, Any] = {
            "benchmark": name,
            "command": f"python -m {_module()} {flags}".strip(),
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": (
                f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, Python "
                f"{platform.python_version()}"
            ),
            "seeds": list(seeds),
            "of": of,
            "rows": [],
        }
        if self.path is not None and self.path.is_file():
            kept = json.loads(self.path.read_text("utf-8"))
            self.data["rows"] = kept["rows"] if kept.get("of", "") == of else []

    def headline(self, **values: Any) -> None:
        """Figures that stand at the top of the file, too."""
        self.data |= values
        if self.path is not None:
            write_json(self.path, self.data)

    def has(self, setting: dict[str, Any]) -> bool:
        """Whether this row is there already."""
        return any(row["setting"] == setting for row in self.data["rows"])

    def add(self, setting: dict[str, Any], metrics: dict[str, Any]) -> None:
        """Append a row and keep the file."""
        self.data["rows"].append({"setting": setting, "metrics": metrics})
        if self.path is not None:
            write_json(self.path, self.data)

    def show(self, options: argparse.Namespace) -> None:
        """Print all rows."""
        if options.json:
            print(json.dumps(self.data))
            return
        for row in self.data["rows"]:
            print(row["setting"], {name: _text(value) for name, value in row["metrics"].items()})


def spread(values: Sequence[float | None]) -> dict[str, float | int] | None:
    """Mean, sample standard deviation and count; None where a value does not exist."""
    if not values or any(value is None for value in values):
        return None
    known = [float(value) for value in values if value is not None]
    return {
        "mean": round(statistics.fmean(known), 2),
        "sd": round(statistics.stdev(known), 2) if len(known) > 1 else 0.0,
        "n": len(known),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict) and "sd" in value:
        return f"{value['mean']:.1f} ± {value['sd']:.1f}"
    return "-" if value is None else str(value)


def _module() -> str:
    """The benchmark that runs, by its dotted name."""
    spec = sys.modules["__main__"].__spec__
    return "benchmarks" if spec is None else spec.name


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
