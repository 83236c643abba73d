"""PSG's records that the benchmarks learn from and are judged on."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

from spade.data.psg import Dataset, Record
from spade.data.psg_reader import load_psg

SHARED = Path(os.environ.get("SPADE_SHARED", Path(__file__).parents[3] / "shared"))
PSG = SHARED / "data" / "psg_train_subset" / "psg_subset.json.gz"


def require() -> None:
    """End with a sentence where the records are not there."""
    if not PSG.is_file():
        raise SystemExit(
            f"{PSG}: the records are not there; SPADE_SHARED names the folder that holds data/psg_train_subset"
        )


@lru_cache(maxsize=1)
def data(quick: bool) -> tuple[Dataset, list[Record], list[Record]]:
    """The data set, the records to learn from (without psg_mini's images, which tests use), and dev."""
    dataset = load_psg(PSG)
    mini = {
        str(row["coco_image_id"])
        for row in json.loads((SHARED / "data" / "psg_mini" / "psg.json").read_text("utf-8"))["data"]
    }
    training = [r for r in dataset.split("train") if r.training_triples() and r.coco_image_id not in mini]
    dev = dataset.split("test")
    return (dataset, training[:400], training[400:500]) if quick else (dataset, training, dev)
