"""How far a classifier's doubt is believed of regions where no void has taught the probe: odds times A x doubt ^ P.

Of the packaged ``tiny-open`` without its probe, on scenes that nothing else reads: the A and P that name most novel
regions right while base ones lose no more than a point are spade.models.naming.DOUBT.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch

import spade
from benchmarks.common.results import Results, arguments
from benchmarks.relations.base_over_novel import NOVEL, means, shares
from benchmarks.relations.open_regions import proposed, without_probe
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.models.config import UNSEEN_ODDS
from spade.world.annotation import CLASSES, make_sample

SEED, SCENES = 9_730, 160
TIMES, POWERS = (0.5, 1.0, 2.0, 4.0), (0.5, 1.0)


def main() -> None:
    """A row for each A and P."""
    options = arguments(__doc__ or "")
    results = Results("doubt", options, [SEED], read_model(packaged_open()).fingerprint())
    torch.set_num_threads(2)
    grid = list(product(TIMES, POWERS))
    if not results.data["rows"]:
        model = spade.load(OPEN)
        names = [
            replace(model.names, heads=without_probe(model), unseen_odds=UNSEEN_ODDS, doubt=doubt) for doubt in grid
        ]
        regions = [
            region
            for number in range(6 if options.quick else SCENES)
            for region in proposed(model, make_sample(SEED, number), names)
        ]
        for place, (times, power) in enumerate(grid):
            answers = ((CLASSES[one.category] in NOVEL, one.found[place] == one.category) for one in regions)
            results.add({"times": times, "power": power}, means(*shares(answers)))
    results.show(options)


if __name__ == "__main__":
    main()
