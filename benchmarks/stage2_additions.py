"""Stage 2's switches that gained or set a default with one seed, again with three, beside the full model on one mask generator.

That generator is trained for this, so nothing here was chosen on it; two more lack a part of their own. Closed setting. Folders are
those of stage2.py, and what lies in them is found; rows are appended as they finish.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from common import Results
from stage1 import Variant
from stage2 import SEEDS, Relations, full, learned
from stage2_scenes import Place, calibrated_folder, train_generator

from spade.diffusion.backbone import embedded_model, fingerprint
from spade.files import canonical_hash

ROWS = (
    full("closed"),
    Relations("re-weighted by 0.5", imbalance="reweight"),
    Relations("literal attention", options=(("attention", "literal"),)),
    Relations("soft neighbours", options=(("neighbours", "soft"),)),
    Relations("annotated masks only", masks="annotated"),
    Relations("no waves of geometry", options=(("octaves", 0),)),
    Relations("union boxes", options=(("unions", True),)),
    Relations("no attention to names", encoder="unscored"),
    Relations("no finer blocks", encoder="coarse"),
)


def main() -> None:
    """Three generators, then the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--work", type=Path, default=Path("stage2-work"), help="folder of the artifacts")
    parser.add_argument("--students", type=Path, default=Path("stage1-work"), help="stage 1's folder; what is missing is made")
    parser.add_argument("--processes", type=int, default=2, help="trainings side by side, a core each")
    options = parser.parse_args()
    place, seeds = Place(options.work, options.students), SEEDS
    if options.quick:
        place, seeds = Place(options.work / "quick", options.work / "quick" / "students", 24, 1, 1, 1), SEEDS[:1]
    models = fingerprint(embedded_model() / "backbone") + fingerprint(embedded_model() / "clip")
    of = f"{canonical_hash(models)[:16]} {place.scenes} {place.generator_epochs} {place.epochs}"
    results = Results("stage2_additions", options, seeds, of)
    done = {row["setting"]["model"] for row in results.data["rows"]}
    asked = [row for row in ROWS if row.model not in done]
    place.make_worlds()
    with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(calibrated_folder, [place], [Variant()]))
        list(pool.map(train_generator, [(place, encoder, "closed") for encoder in dict.fromkeys(row.encoder for row in asked)]))
        for made in as_completed(pool.submit(learned, (place, row, seeds)) for row in asked):
            for setting, metrics in made.result():
                results.add(setting, metrics)
    results.show(options)


if __name__ == "__main__":
    main()
