"""How names that training did not have should be scored: predicates that are hidden from training, on validation
scenes of the world.

Held-out scenes are not looked at. The mask generator is that of ``python -m benchmarks.relations.run``, made where
it is not there; the relation part is trained anew.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.calibration.looks import Variant
from benchmarks.common.results import Results, spread
from benchmarks.relations.encoders import calibrated_folder
from benchmarks.relations.generators import generator_print, learn, names_of, new_job, once, train_generator
from benchmarks.relations.rows import full
from benchmarks.relations.scenes import Place, asked_for
from spade.data.samples import annotated_regions
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.evaluation.scoring.recall import Recalls
from spade.models.build import build_relation_head

SPLITS, HIDDEN, AT = (0, 1, 2), 5, 20
SHARPNESS = (1.0, 2.0, 4.0)
TEXT, NOTHING = 0.0, 1e-9  # odds: hidden names scored by their text alone; hidden names get nothing
UNSEEN_ODDS = {False: (1.0, 2.0, 4.0, 8.0), True: (0.25, 0.5, 1.0, 2.0, 4.0)}  # whether sure pairs give a share as well


def main() -> None:
    """For three choices of five hidden predicates: recall of known and of hidden ones."""
    options = asked_for(__doc__ or "")
    place = Place(options.work, options.students)
    if options.quick:
        place = Place(options.work / "quick", options.work / "quick" / "students", 24, 1, 1, 1)
    results = Results("novel_names", options, SPLITS, place.measured())
    if not results.data["rows"]:
        with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            splits = SPLITS[:1] if options.quick else SPLITS
            place.make_worlds()
            list(pool.map(calibrated_folder, [place], [Variant()]))
            list(pool.map(train_generator, [(place, "calibrated", names_of("ovr"))]))
            runs = list(pool.map(_split, [place] * len(splits), splits, [place.epochs] * len(splits)))
        for number, (setting, first) in enumerate(runs[0]):
            results.add(setting, {name: spread([run[number][1][name] for run in runs]) for name in first})
    results.show(options)


Rows = list[tuple[dict[str, Any], dict[str, float]]]


def _split(place: Place, seed: int, epochs: int) -> Rows:
    whole = place.dataset("ovr").for_training()
    hidden = frozenset(
        np.array(whole.predicates)[np.random.default_rng(seed).permutation(len(whole.predicates))[:HIDDEN]].tolist()
    )
    job = new_job(place, "calibrated", "ovr", True, hidden)
    torch.manual_seed(seed)
    job.heads.relations = build_relation_head(full("ovr").method.relations, job.student.clip.dim)
    what = [
        "hidden",
        generator_print(place, "calibrated", "ovr"),
        sorted(hidden),
        str(job.heads.relations.config),
        seed,
        epochs,
        place.scenes,
    ]
    once(
        place,
        what,
        job.heads.relations,
        lambda: learn(job.parameters(), job.images, job.losses, job.validate, epochs, seed),
    )
    job.fit_unseen_scorers()
    job.heads.eval()
    records = {record.image_id: record for record in whole.records}
    validation = [records[job.images.records[i].image_id] for i in job.images.validation]
    seen = []
    for record in validation:
        categories = [segment.category for segment in record.segments]
        seen.append(
            job.model.encode_segments(
                whole.image_path(record), annotated_regions(whole, record), categories, whole.vocabulary
            )
        )
    new = np.array([name in hidden for name in whole.predicates])
    assert job.heads.pairs is not None
    rows: Rows = []
    grid = [(sure, sharpness, odds) for sure in UNSEEN_ODDS for sharpness in SHARPNESS for odds in UNSEEN_ODDS[sure]]
    for sure, sharpness, odds in [(False, SHARPNESS[0], TEXT), (False, SHARPNESS[0], NOTHING), *grid]:
        job.model.gated, job.heads.pairs.sharpness, job.model.unseen_odds = not sure, sharpness, odds
        evaluator = Evaluator(whole, at=(AT,), mode="predcls")
        for record, one in zip(validation, seen, strict=True):
            evaluator.add(record, None, from_prediction(record.image_id, job.model.relate(one)))
        recalls = Recalls(
            [j for j in evaluator.judged if j.record.relations], evaluator.rules, len(whole.predicates), (AT,)
        )
        touched = new[recalls.triples[:, 2]]
        known, found = (100 * (recalls.ranked.part(part).recall(AT) or 0.0) for part in (~touched, touched))
        every = 100 * (recalls.ranked.recall(AT) or 0.0)
        rows.append(
            (
                {"odds": odds, "sharpness": sharpness, "sure_gives": sure},
                {"known": known, "hidden": found, "all": every},
            )
        )
    return rows


if __name__ == "__main__":
    main()
