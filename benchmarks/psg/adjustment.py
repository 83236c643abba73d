"""The packaged relations on validation records: recall against mean recall, by how much of the prior is taken off.

Also writes docs/images/psg_balance.png. The packaged adjustment is the point at which R@20 + mR@20 is highest.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.common.results import Results, arguments
from benchmarks.psg.records import data, require
from spade.core.errors import SpadeError
from spade.core.files import sha256_file, write_bytes
from spade.export.plots import adjustment_png
from spade.models.checkpoint import packaged, read_box_model
from spade.models.load import load_relation_predictor
from spade.training.boxes import BoxTraining
from spade.training.config import RelationLossConfig

OUT = Path(__file__).parents[2] / "docs" / "images" / "psg_balance.png"


def main() -> None:
    """One answer to the validation records, a row an adjustment."""
    options = arguments(__doc__ or "")
    require()
    torch.set_num_threads(1)
    dataset, training, _ = data(options.quick)
    predictor = load_relation_predictor(device="cpu")
    job = BoxTraining(predictor.model, predictor.index, dataset, training, RelationLossConfig())
    weights = read_box_model(packaged("boxes")).weights
    results = Results("psg_balance", options, [0], sha256_file(weights)[:16])
    for row in job.curve():
        setting = {"balance": row["logit_adjustment"], "records": len(job.validation)}
        if not results.has(setting):
            shown = {name: round(100 * value, 2) for name, value in row.items() if name != "logit_adjustment"}
            results.add(setting, shown)
    if not options.quick:
        curve = [
            {"logit_adjustment": row["setting"]["balance"]}
            | {name: value / 100 for name, value in row["metrics"].items()}
            for row in results.data["rows"]
        ]
        write_bytes(OUT, adjustment_png(curve, predictor.logit_adjustment))
    results.show(options)


if __name__ == "__main__":
    try:
        main()
    except SpadeError as error:
        raise SystemExit(str(error)) from None
