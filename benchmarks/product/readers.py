"""How long data sets of full size take to open, and in how much memory: VG150's h5, COCO with relations of PSG's size.

Annotation is generated in the true layouts, with the true counts; each is read by a process of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common.results import Results, arguments
from benchmarks.product.formats import write_coco, write_vg150

VG150, PSG = 108_073, 48_749  # images
READING = """
import resource, sys, time
from pathlib import Path
began = time.perf_counter()
from spade.data.readers import load_dataset
dataset = load_dataset(Path(sys.argv[1]))
seconds = time.perf_counter() - began
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(dataset.records), len(dataset.problems))
"""


def main() -> None:
    """Both formats, three runs each."""
    options = arguments(__doc__ or "")
    results, runs = Results("readers", options, [0]), 1 if options.quick else 3
    counts = (1000, 500) if options.quick else (VG150, PSG)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_vg150(work / "vg", counts[0])
        write_coco(work / "coco" / "train.json", counts[1])
        found = {}
        for name, count in zip(("vg", "coco"), counts, strict=True):
            data = work / name if name == "vg" else work / "coco" / "train.json"
            found[name] = _read(data, count, runs)
            size = sum(path.stat().st_size for path in (work / name).iterdir())
            results.add({"format": name, "images": count}, found[name] | {"megabytes": round(size / 1e6)})
    results.headline(
        vg150_read_s=found["vg"]["seconds"],
        vg150_gb=found["vg"]["gb"],
        coco_read_s=found["coco"]["seconds"],
        coco_gb=found["coco"]["gb"],
    )
    results.show(options)


def _read(data: Path, count: int, runs: int) -> dict[str, float]:
    seconds, peaks = [], []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", READING, data], capture_output=True, text=True, check=True, env=os.environ
        )
        took, kilobytes, records, problems = done.stdout.split()
        if (int(records), int(problems)) != (count, 0):
            raise RuntimeError(f"{data}: {records} of {count} records, {problems} left out")
        seconds.append(float(took))
        peaks.append(int(kilobytes) / 1e6)
    return {"seconds": round(statistics.median(seconds), 2), "gb": round(max(peaks), 2)}


if __name__ == "__main__":
    main()
