"""Damaged files through every reader, for hours: SpadeError or success, never another exception.

The same walk as in tests/fuzz, where it takes ten seconds a reader. Minutes are kept reader by reader, so a run that
was killed goes on with the rest; ``fuzz_minutes`` is the time of all readers together.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.common.results import Results, arguments

LEG = 5  # minutes of one process
LEGS = 4  # of a reader
FEWER = {"picture": 1, "model.json": 2}  # of readers of several kinds of file, which share their time
QUICK = 1 / 30


def main() -> None:
    """Legs of all readers, two at a time, each with a seed of its own."""
    from tests.fuzz.readers import READERS

    options = arguments(__doc__ or "")
    leg, most = (QUICK, 1) if options.quick else (LEG, LEGS)
    results = Results("trust", options, list(range(most)))
    settings = [
        {"reader": name, "seed": seed, "minutes": leg}
        for seed in range(most)
        for name in READERS
        if seed < FEWER.get(name.split()[0], LEGS)
    ]
    left = [setting for setting in settings if not results.has(setting)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for setting, metrics in zip(left, pool.map(_leg, left), strict=True):
            results.add(setting, metrics)
            _headline(results)
    results.show(options)


def _leg(setting: dict[str, Any]) -> dict[str, Any]:
    from tests.fuzz.test_readers import walk

    begin = time.monotonic()
    crash = ""
    try:
        files = walk(setting["reader"], setting["minutes"] * 60, setting["seed"])
    except Exception as error:  # whatever a reader let through is what is looked for
        files, crash = 0, f"{type(error).__name__}: {error}"[:300]
    return {"files": files, "minutes": round((time.monotonic() - begin) / 60, 2), "crash": crash}


def _headline(results: Results) -> None:
    metrics = [row["metrics"] for row in results.data["rows"]]
    results.headline(
        fuzz_minutes=round(sum(one["minutes"] for one in metrics), 1),
        fuzz_crashes=sum(bool(one["crash"]) for one in metrics),
        fuzz_files=sum(one["files"] for one in metrics),
    )


if __name__ == "__main__":
    main()
