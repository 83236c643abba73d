"""How far a classifier's doubt is believed of regions where no void has taught the probe: odds times A x doubt ^ P.

Of short trainings that met no novel thing (``--compared``), where doubt is all there is, and of the packaged
``tiny-open`` without its probe; on scenes that nothing else reads. ``spade.models.naming.DOUBT`` has the highest
harmonic mean on the former, of the rows in which base names lose no more than five points of the best row's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch

import spade
from benchmarks.common.results import Results, arguments, spread
from benchmarks.relations.base_over_novel import NOVEL, means, shares
from benchmarks.relations.open_names import INDUCTIVE
from benchmarks.relations.open_regions import proposed, without_probe
from spade.models.checkpoint import OPEN, packaged_open, read_model
from spade.models.config import UNSEEN_ODDS
from spade.models.predictor import SceneGraphPredictor
from spade.world.annotation import CLASSES, make_sample

SEED, SCENES = 9_730, 160
GRID = tuple(product((0.5, 1.0, 2.0, 4.0), (0.5, 1.0)))
PACKAGED, SHORT = "tiny-open without its probe", "short, inductive"


def main() -> None:
    """A row for each A and P, of the packaged model and of the short trainings."""
    options = arguments(__doc__ or "", compared=f"of {INDUCTIVE}, a seed each")
    results = Results("doubt", options, [SEED], read_model(packaged_open()).fingerprint())
    torch.set_num_threads(1)
    scenes = 6 if options.quick else SCENES
    for name, folders in ((PACKAGED, [None]), (SHORT, [folder / INDUCTIVE for folder in options.compared])):
        if not folders or results.has(_setting(name, GRID[0])):
            continue
        of_models = [_of_model(spade.load(OPEN if folder is None else folder), scenes) for folder in folders]
        for doubt, *rows in zip(GRID, *of_models, strict=True):
            results.add(_setting(name, doubt), {metric: spread([row[metric] for row in rows]) for metric in rows[0]})
    results.show(options)


def _setting(name: str, doubt: tuple[float, float]) -> dict[str, str | float]:
    return {"model": name, "times": doubt[0], "power": doubt[1]}


def _of_model(model: SceneGraphPredictor, scenes: int) -> Sequence[dict[str, float]]:
    """Base, novel and harmonic mean at each point of the grid."""
    heads = without_probe(model)
    names = [replace(model.names, heads=heads, unseen_odds=UNSEEN_ODDS, doubt=doubt) for doubt in GRID]
    regions = [region for number in range(scenes) for region in proposed(model, make_sample(SEED, number), names)]
    return [
        means(*shares((CLASSES[one.category] in NOVEL, one.found[place] == one.category) for one in regions))
        for place in range(len(GRID))
    ]


if __name__ == "__main__":
    main()
