"""Scene graphs of the packaged tiny model on scenes that no training and no choice has seen, with all of the world's
names: what it finds, what it names, what it relates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

import spade
from benchmarks.common.results import spread
from spade.data.checks import checked_record
from spade.data.psg import Dataset
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.models.predictor import SceneGraphPredictor
from spade.structures.regions import MapRegions
from spade.world.annotation import make_sample
from spade.world.dataset import psg_record
from spade.world.layout import STUFF, THINGS
from spade.world.rules import PREDICATES

SEED, BLOCK, AT = 9_800, 64, 20


def graphs(blocks: int) -> dict[str, Any]:
    """Percent, over blocks of ``BLOCK`` scenes: ``pq``; ``things_named``, of annotated things, those with a found
    segment of their name above half of IoU; R@20 and mR@20 on found and on given segments.
    """
    model = spade.load()
    measured = [_block(model, range(BLOCK * block, BLOCK * (block + 1))) for block in range(blocks)]
    return {name: spread([one[name] for one in measured]) for name in measured[0]}


def losses(blocks: int) -> dict[str, float | None]:
    """Percent of the annotated relations of all these scenes together, on found segments: where they are lost
    (docs/evaluation.md); and PQ.
    """
    summary = _judged(spade.load(), range(BLOCK * blocks))[0].summary()
    account = summary["account"]
    shares = {
        "account_proposals": account["proposals"],
        "account_masks": account["masks"],
        "account_names": account["names"],
        "account_pairs": account[f"pairs@{AT}"],
        "account_predicates": account[f"predicates@{AT}"],
        "pq_of_all": summary["PQ"],
    } | {f"lost_{step}": share for step, share in (account[f"lost@{AT}"] or {}).items()}
    return {name: None if value is None else 100 * value for name, value in shares.items()} | account["missing"]


def _block(model: SceneGraphPredictor, numbers: range) -> dict[str, float]:
    found, given = _judged(model, numbers)
    things = [
        bool(hit)
        for judged in found.judged
        for hit, segment in zip(judged.found, judged.record.segments, strict=True)
        if segment.is_thing
    ]
    metrics, told = found.metrics(), given.metrics()
    return {
        "pq": 100 * float(metrics["PQ"] or 0.0),
        "things_named": 100 * sum(things) / len(things),
        "R20_found": 100 * float(metrics[f"R@{AT}"] or 0.0),
        "mR20_found": 100 * float(metrics[f"mR@{AT}"] or 0.0),
        "R20_given": 100 * float(told[f"R@{AT}"] or 0.0),
        "mR20_given": 100 * float(told[f"mR@{AT}"] or 0.0),
    }


def _judged(model: SceneGraphPredictor, numbers: range) -> tuple[Evaluator, Evaluator]:
    """Evaluators of found and of given segments, which have met these scenes."""
    here = Path("psg.json")
    dataset = Dataset(here, here.parent, THINGS, STUFF, PREDICATES, (), frozenset(), (), True)
    found, given = Evaluator(dataset, at=(AT,)), Evaluator(dataset, mode="predcls", at=(AT,))
    for number in numbers:
        sample = make_sample(SEED, number)
        record, _ = checked_record(psg_record(sample, str(number), str(number)), THINGS, STUFF, PREDICATES)
        image = Image.fromarray(sample.image)
        predicted = model.predict(image, dataset.vocabulary)
        found.add(record, sample.ids, from_prediction(record.image_id, predicted))
        regions = MapRegions.of_ids(sample.ids, [segment.id for segment in record.segments])
        categories = [segment.category for segment in record.segments]
        related = model.relate(model.encode_segments(image, regions, categories, dataset.vocabulary))
        given.add(record, None, from_prediction(record.image_id, related))
    return found, given
