"""What mask generators of one kind differ by: the rows that several runs of stage 2 left, gathered from this
repository's history.

Measures nothing. Runs were on different machines and with the code of their days; a clone without that history cannot
gather them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from benchmarks.common.results import RESULTS
from benchmarks.relations.table_rows import metrics_of
from spade.core.files import write_json

# When trained, the commit that has the rows, none for the files as they are, and the file.
RUNS = (
    ("2026-11-23", "aa26357", "stage2"),
    ("2026-11-25", "df3eab9", "stage2"),
    ("2026-11-28", "", "stage2_additions"),
)
ENCODERS = ("full", "raw encoder", "plain encoder")


def main() -> None:
    """A row a run and encoder."""
    data = {
        "benchmark": "stage2_generators",
        "command": "python -m benchmarks.relations.generators_gathered",
        "about": (
            "Rows are what three runs of stage 2's benchmarks left, on three machines and with the code of their "
            "days (results/stage2.json at commits aa26357 and df3eab9, results/stage2_additions.json)."
        ),
        "seeds": [0, 1, 2],
        "rows": list(_rows()),
    }
    write_json(RESULTS / "stage2_generators.json", data)


def _rows() -> Iterator[dict[str, Any]]:
    for trained, commit, file in RUNS:
        data = _read(commit, file)
        for encoder in ENCODERS:
            metrics = metrics_of(data, encoder, "sgdet", "closed")
            if metrics:
                quality = metrics["PQ"] | {"n": 1}  # one generator, whatever the seeds of the relation part
                yield {
                    "setting": {"run": trained, "encoder": encoder},
                    "metrics": {"PQ": quality, "R@10": metrics["R@10"]},
                }


def _read(commit: str, file: str) -> dict[str, Any]:
    path = RESULTS / f"{file}.json"
    if not commit:
        own: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return own
    shown = f"{commit}:benchmarks/results/{path.name}"
    done = subprocess.run(["git", "show", shown], cwd=RESULTS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git show {shown}: {done.stderr.strip()}; a clone with its whole history has it")
    then: dict[str, Any] = json.loads(done.stdout)
    return then


if __name__ == "__main__":
    main()
