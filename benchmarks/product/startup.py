"""How long ``spade --help`` takes, beside a bare Python and an import of torch, in one run."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.common.results import Results, arguments, spread

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "spade --help": ["-m", "spade_cli", "--help"],
    "spade predict --help": ["-m", "spade_cli", "predict", "--help"],
    "import torch": ["-c", "import torch"],
}


def main() -> None:
    """Each command in turn, several rounds, whole processes."""
    options = arguments(__doc__ or "")
    results = Results("startup", options, ())
    rounds = 2 if options.quick else 11
    if not results.data["rows"]:
        times: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
                times[name].append(time.perf_counter() - began)
        for name in COMMANDS:
            ratio = [mine / bare for mine, bare in zip(times[name], times["python -c pass"], strict=True)]
            results.add({"command": name}, {"seconds": spread(times[name]), "times a bare python": spread(ratio)})
    results.show(options)


if __name__ == "__main__":
    main()
