"""The packaged relations on watched training records: recall against mean recall, by how much of the prior is taken
off.

Also writes docs/images/psg_balance.png. The packaged balance is the point at which R@20 + mR@20 is highest.
"""

from __future__ import annotations

from pathlib import Path

import torch
from common import Results, arguments
from psg_annotations import FULL, PSG, data

from spade.core.errors import SpadeError
from spade.core.files import sha256_file, write_bytes
from spade.export.plots import balance_png
from spade.models.checkpoint import BOX_WEIGHTS, packaged
from spade.models.load import load_relation_predictor
from spade.training.boxes import BoxTraining

OUT = Path(__file__).parents[1] / "docs" / "images" / "psg_balance.png"


def main() -> None:
    """One answer to the watched records, a row a balance."""
    options = arguments(__doc__ or "")
    if not PSG.is_file():
        raise SystemExit(
            f"{PSG}: the records are not there; SPADE_SHARED names the folder that holds data/psg_train_subset"
        )
    torch.set_num_threads(1)
    dataset, training, _ = data(options.quick)
    relater = load_relation_predictor(device="cpu")
    job = BoxTraining(relater.model, relater.table, dataset, training, FULL)
    results = Results("psg_balance", options, [0], sha256_file(packaged("layout") / BOX_WEIGHTS)[:16])
    for row in job.curve():
        setting = {"balance": row["balance"], "records": len(job.validation)}
        if not results.has(setting):
            results.add(setting, {name: round(100 * value, 2) for name, value in row.items() if name != "balance"})
    if not options.quick:
        curve = [
            row["setting"] | {name: value / 100 for name, value in row["metrics"].items()}
            for row in results.data["rows"]
        ]
        write_bytes(OUT, balance_png(curve, relater.balance))
    results.show(options)


if __name__ == "__main__":
    try:
        main()
    except SpadeError as error:
        raise SystemExit(str(error)) from None
