"""Stage 2's switches that gained or set a default with one seed, again with three, beside the full model on one mask
generator.

The generator is run.py's, or trained here in the same way where there is none; two more lack a part of their own.
What won, and baselines that learn on what ours learns on, are asked in the open settings, too. Folders are those of
run.py, and what lies in them is found; rows are appended as they finish.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from benchmarks.calibration.looks import Variant
from benchmarks.common.results import Results
from benchmarks.relations.encoders import calibrated_folder
from benchmarks.relations.generators import names_of, new_job, train_generator
from benchmarks.relations.rows import ADDITIONS, SEEDS, full
from benchmarks.relations.run import BASELINES, counted, learned
from benchmarks.relations.scenes import Place, asked_for
from spade.models.build import build_relation_head

OPEN = ("ovr", "ovdr")


def main() -> None:
    """Three generators, then the rows."""
    options = asked_for(__doc__ or "")
    place = Place(options.work, options.students)
    seeds: tuple[int, ...] = SEEDS
    if options.quick:
        place, seeds = Place(options.work / "quick", options.work / "quick" / "students", 24, 1, 1, 1), SEEDS[:1]
    results = Results("stage2_additions", options, seeds, place.measured())
    done = {(row["setting"]["model"], row["setting"]["setting"]) for row in results.data["rows"]}
    asked = [row for row in ADDITIONS if (row.model, row.setting) not in done]
    missing = [(name, setting) for setting in ("closed", *OPEN) for name in BASELINES if (name, setting) not in done]
    wanted = [(row.encoder, row.setting) for row in asked] + [("calibrated", setting) for _, setting in missing]
    place.make_worlds()
    with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(calibrated_folder, [place], [Variant()]))
        results.headline(parameters=pool.submit(_parameters, place).result())
        needed = dict.fromkeys((encoder, names_of(setting)) for encoder, setting in wanted)
        list(pool.map(train_generator, [(place, *generator) for generator in needed]))
        jobs: list[tuple[Callable[[Any], Any], Any]] = [(counted, (place, *baseline)) for baseline in missing]
        jobs += [(learned, (place, row, seeds)) for row in asked]
        for made in as_completed(pool.submit(*job) for job in jobs):
            for setting, metrics in made.result():
                results.add(setting, metrics)
    results.show(options)


def _parameters(place: Place) -> dict[str, int]:
    """How many are learned, by part; a plain encoder is learned with its mask generator, the UNet is not."""
    heads = {
        encoder: new_job(place, encoder, "closed", frozen=False).heads for encoder in ("calibrated", "plain", "coarse")
    }
    counts = {f"mask generator, {encoder}": _count_of(own.proposer) for encoder, own in heads.items()}
    head = build_relation_head(full("closed").method.relations, heads["plain"].relations.config.clip_dim)
    return counts | {"relation part": _count_of(head)}


def _count_of(module: torch.nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    main()
