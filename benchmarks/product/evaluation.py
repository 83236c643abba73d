"""``spade eval`` beside sgbench's command line, and beside decoding alone; memory; PSG's annotation file at full size.

sgbench 1.0.0 needs numpy below 2 and gets an environment of its own (``--peer DIR`` keeps it). All times are whole
processes, medians of interleaved runs. How long sgbench takes depends on how many pairs of segments share a class,
since
it compares no others: PSG's training records have 26 such pairs in images of 11 segments, and 54 in an image on
average.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common.results import Results
from benchmarks.product import evaluation_data as eval_data

SAMENESS = {"PSG's images with 11 segments": 6.43, "PSG's mean image": 1.58, "all segments of one class": 0.0}
DECODING = """
import sys
from pathlib import Path
from PIL import Image
from spade.evaluation.formats.exchange import IMAGE
root = Path(sys.argv[1])
with open(root / "predictions.jsonl", "rb") as lines:
    next(lines)
    for number, line in enumerate(lines):
        IMAGE.decode(line)
        for png in (f"pred/{number}.png", f"data/panoptic/{number}.png"):
            with Image.open(root / png) as image:
                image.load()
"""
LOADING = (
    "import sys; from pathlib import Path; from spade.data.psg_reader import load_psg; "
    "print(len(load_psg(Path(sys.argv[1])).records))"
)


def main() -> None:
    """Rows as they finish; a rerun continues."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--peer", type=Path, help="folder of the environment with sgbench")
    parser.add_argument("--work", type=Path, help="folder for the generated data")
    options = parser.parse_args()
    results = Results("eval", options, [7])
    images, pngs, large, megabytes, runs = (30, 40, 200, 10, 1) if options.quick else (1000, 2177, 10_000, 300, 3)
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        peer = _peer(options.peer or work / "peer")
        for name, sameness in SAMENESS.items():
            setting = {"images": images, "cores": 1, "classes": name}
            if not results.has(setting):
                results.add(setting, _beside_sgbench(work / f"same-{sameness}", images, sameness, peer, runs))
        source = work / f"same-{SAMENESS[next(iter(SAMENESS))]}"
        for count, cores in ((pngs, 2), (large, 2)):
            setting = {"images": count, "cores": cores}
            if not results.has(setting):
                results.add(
                    setting, _alone(source, work / f"many-{count}", count, images, cores, runs if count == pngs else 1)
                )
        setting = {"psg.json": f"{megabytes} MB"}
        subset = Path(os.environ.get("SPADE_SHARED", "../shared")) / "data" / "psg_train_subset" / "psg_subset.json.gz"
        if not results.has(setting) and subset.is_file():
            results.add(setting, _annotations(subset, work, megabytes))
    found = {tuple(row["setting"].values()): row["metrics"] for row in results.data["rows"]}
    beside, test_set, many = found[images, 1, next(iter(SAMENESS))], found[pngs, 2], found[large, 2]
    results.headline(
        times_faster_than_sgbench=beside["times_faster_than_sgbench"],
        over_decoding=beside["over_decoding"],
        seconds_2177=test_set["seconds"],
        peak_mb_10000=many["peak_mb"],
    )
    results.show(options)


def _peer(place: Path) -> Path:
    """The Python of an environment that has sgbench's command line."""
    python = place / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "sgbench[all]==1.0.0", "numpy<2"], check=True)
    return python


def _eval(root: Path, workspace: Path) -> list[str | Path]:
    data, predictions = root / "data", root / "predictions.jsonl"
    command = [sys.executable, "-m", "spade_cli", "eval", data, "--predictions", predictions, "--workspace", workspace]
    return [*command, "--force", "--json", "--quiet"]


def _run(command: list[str | Path], cores: int) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and output of a process that may use so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, allowed)
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024, output


def _beside_sgbench(root: Path, images: int, sameness: float, peer: Path, runs: int) -> dict[str, float]:
    """Our command, sgbench's, and decoding alone, in turn."""
    if not (root / "data" / "psg.json").is_file():
        eval_data.write(root, images, sameness)
    sgbench: list[str | Path] = [
        peer,
        "-m",
        "sgbench",
        root / "data/psg.json",
        root / "sgbench.zip",
        "--gt-masks",
        root / "data",
    ]
    commands = {
        "spade": _eval(root, root / "workspace"),
        "sgbench": sgbench,
        "decoding": [sys.executable, "-c", DECODING, root],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    output = {}
    for _ in range(runs):
        for name, command in commands.items():
            taken, _, output[name] = _run(command, 1)
            seconds[name].append(taken)
    ours = json.loads(output["spade"])
    theirs = dict(line.split(": ") for line in output["sgbench"].splitlines())
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds": round(middle["spade"], 2),
        "seconds_sgbench": round(middle["sgbench"], 2),
        "seconds_decoding": round(middle["decoding"], 2),
        "times_faster_than_sgbench": round(middle["sgbench"] / middle["spade"], 2),
        "over_decoding": round(middle["spade"] / middle["decoding"], 2),
        # Where no masks are ambiguous the protocols agree: what was timed did the same work.
        "R@100": round(100 * ours["R@100"], 4),
        "R@100_sgbench": round(100 * float(theirs["R@100"]), 4),
    }


def _alone(source: Path, root: Path, count: int, images: int, cores: int, runs: int) -> dict[str, float]:
    """Our command on many images: the images of ``source`` under new ids."""
    if not (root / "data" / "psg.json").is_file():
        eval_data.repeat(source, root, count)
    taken, peaks = [], []
    for _ in range(runs):
        seconds, peak, _ = _run(_eval(root, root / "workspace"), cores)
        taken.append(seconds)
        peaks.append(peak)
    return {
        "seconds": round(statistics.median(taken), 2),
        "peak_mb": round(max(peaks), 1),
        "seconds_an_image": round(statistics.median(taken) / count, 5),
    }


def _annotations(subset: Path, work: Path, megabytes: int) -> dict[str, float]:
    """Loading a psg.json of full size, made by repeating real records."""
    path = work / "psg-large" / "psg.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    records = eval_data.large_psg(subset, path, megabytes)
    seconds, peak, output = _run([sys.executable, "-c", LOADING, path], 2)
    if int(output) != records:
        raise SystemExit(f"{path}: {output} of {records} records were loaded")
    path.unlink()
    return {"records": records, "seconds": round(seconds, 2), "peak_mb": round(peak, 1)}


if __name__ == "__main__":
    main()
