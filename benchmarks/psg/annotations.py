"""Relations of labels and boxes on real PSG annotations: predicate classification on a dev list of training records,
baselines beside it.

Networks are trained as ``spade train-boxes`` trains; every choice (best epoch, logit adjustment) is made on a tenth of
the training records, dev is read once a model. Rows are appended as they finish, trainings resume.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.common.baselines import Answer, Boosting, BoostingOptions, Example, Frequency, predicate_counts
from benchmarks.common.results import Results, spread
from benchmarks.psg.metrics import AT, metrics, percent, recalls_of
from benchmarks.psg.networks import NETWORKS, answers, method_of, packaged_milliseconds, trained
from benchmarks.psg.records import PSG, data, require
from spade.core.errors import SpadeError
from spade.core.files import sha256_file
from spade.data.psg import Record
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import Facts, part
from spade.relations.losses import prior_of
from spade.steps.train_boxes import best_adjustment
from spade.structures.label_index import LabelIndex
from spade.training.boxes import ADJUSTMENTS, box_segments_of, predicted
from spade.training.split import validation_split

SEEDS = (0, 1, 2)
HIDDEN = "rgt-full without a fifth of the labels"


def main() -> None:
    """Baselines, networks, and labels that training did not show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and fast; the result is not kept")
    parser.add_argument("--json", action="store_true", help="print the result as json")
    parser.add_argument("--work", type=Path, default=Path("psg-work"), help="folder of the trained networks")
    parser.add_argument("--models", default="", help="only these, with commas")
    parser.add_argument("--processes", type=int, default=2, help="trainings side by side, a core each")
    parser.add_argument("--device", default="cpu", help="where networks are trained; dev is always answered on the CPU")
    options = parser.parse_args()
    require()
    results = Results("psg_annotations", options, SEEDS, sha256_file(PSG)[:16])
    jobs = [
        (name, seed)
        for name in ("frequency", "boosting", *NETWORKS, HIDDEN)
        for seed in (SEEDS[:1] if name == "frequency" else SEEDS)
    ]
    wanted = [name.strip() for name in options.models.split(",") if name.strip()]
    done = {row["setting"]["model"] for row in results.data["rows"]}
    jobs = [job for job in jobs if (not wanted or job[0] in wanted) and job[0] not in done]
    if options.quick:
        jobs = [job for job in jobs if job[1] == 0]
    runs: dict[str, list[Rows]] = {}
    with ProcessPoolExecutor(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        made = pool.map(_run, [(*job, options.work, options.quick, options.device) for job in jobs])
        for (name, _), rows in zip(jobs, made, strict=True):
            runs.setdefault(name, []).append(rows)
            if len(runs[name]) == sum(job[0] == name for job in jobs):
                for place, (setting, first) in enumerate(runs[name][0]):
                    results.add(
                        setting, {metric: spread([run[place][1][metric] for run in runs[name]]) for metric in first}
                    )
    if not options.quick and not wanted and "packaged" not in done:
        results.add({"model": "packaged"}, {"milliseconds a picture": packaged_milliseconds()})
    results.show(options)


Rows = list[tuple[dict[str, str], dict[str, float | None]]]


def _run(job: tuple[str, int, Path, bool, str]) -> Rows:
    name, seed, work, quick, device = job
    if name in ("frequency", "boosting"):
        return _baseline(name, seed, quick)
    place = None if quick else work
    return _hidden(seed, quick, device, place) if name == HIDDEN else _network(name, seed, quick, device, place)


def _network(name: str, seed: int, quick: bool, device: str, work: Path | None) -> Rows:
    dataset, training, dev = data(quick)
    model, job = trained(method_of(name, seed, quick), seed, device, dataset, training, work)
    points = {"recall": 0.0, "balanced": best_adjustment(job.curve(ADJUSTMENTS))}
    prior = prior_of(job.counts).log()
    evaluators = {point: Evaluator(dataset, at=AT, mode="predcls") for point in points}
    outputs = list(answers(model, box_segments_of(dev, LabelIndex.of(dataset.vocabulary.objects), dataset)))
    for record, (pairs, related, logits) in zip(dev, outputs, strict=True):
        for point, adjustment in points.items():
            scores = (related[:, None] * (logits - adjustment * prior).softmax(-1)).numpy()
            evaluators[point].add(record, None, predicted(record, pairs, scores))
    counts = {"parameters": sum(p.numel() for p in model.parameters())}
    return [
        (
            {"model": name, "point": point},
            metrics(evaluators[point], dataset, job.counts) | {"balance": points[point]} | counts,
        )
        for point in points
    ]


def _hidden(seed: int, quick: bool, device: str, work: Path | None) -> Rows:
    """A fifth of the names, by a seed, is kept from training, with all that is annotated of them; what is lost on their
    triplets.

    A hidden label stands for its supercategory, or for an unknown thing or stuff. The measure is the seed's full model,
    which knows it.
    """
    dataset, training, dev = data(quick)
    method = method_of(HIDDEN, seed, quick)
    out = np.random.default_rng([7, seed]).permutation(len(dataset.classes))[: len(dataset.classes) // 5]
    names = frozenset(dataset.classes[i] for i in out)
    learned = {record.image_id for record in training}
    small = replace(dataset, novel_objects=names).for_training()
    shown = [record for record in small.records if record.image_id in learned and record.training_triples()]
    blind, _ = trained(method, seed, device, small, shown, work)
    whole, _ = trained(method, seed, device, dataset, training, work)
    layouts = box_segments_of(dev, LabelIndex.of(small.vocabulary.objects), dataset)
    told = {
        "supercategory": (blind, layouts),
        "unknown": (blind, [replace(one, group=one.group.masked_fill(one.category < 0, -1)) for one in layouts]),
        "known to the full model": (whole, box_segments_of(dev, LabelIndex.of(dataset.vocabulary.objects), dataset)),
    }
    rows: Rows = []
    for way, (model, given) in told.items():
        evaluator = Evaluator(dataset, at=AT, mode="predcls")
        for record, (pairs, related, logits) in zip(dev, answers(model, given), strict=True):
            evaluator.add(record, None, predicted(record, pairs, (related[:, None] * logits.softmax(-1)).numpy()))
        recalls = recalls_of(evaluator, dataset)
        facts = Facts.of(recalls)
        touched = np.isin(facts.subject, out) | np.isin(facts.object, out)
        for labels, chosen in (("hidden", touched), ("shown", ~touched)):
            found = part(recalls, chosen)
            metrics = {f"R@{k}": percent(found[f"R@{k}"]) for k in AT} | {"triplets": float(chosen.sum())}
            rows.append(({"model": HIDDEN, "point": "recall", "labels": labels, "told": way}, metrics))
    return rows


def boosting(seed: int, quick: bool) -> BoostingOptions:
    """Rare predicates need it small and slow: with leaves of ten pairs and a rate of 0.1 it stops after ten rounds, 7
    points worse.
    """
    related = {
        "max_iter": 20 if quick else 400,
        "learning_rate": 0.1,
        "n_iter_no_change": 10,
        "max_leaf_nodes": 63,
    }
    calm = {"learning_rate": 0.05, "max_leaf_nodes": 7, "min_samples_leaf": 20, "l2_regularization": 10.0}
    return BoostingOptions(related, related | calm, negatives=5, seed=seed)


def _baseline(name: str, seed: int, quick: bool) -> Rows:
    dataset, training, dev = data(quick)
    train, validation = validation_split(list(training))
    learned, held = ([Example.of(record) for record in records] for records in (train, validation))
    size = len(dataset.predicates)
    scorer: Frequency | Boosting = (
        Frequency(learned, len(dataset.classes), size)
        if name == "frequency"
        else Boosting(learned, held, size, boosting(seed, quick))
    )
    counts = torch.from_numpy(predicate_counts(learned, size))
    prior = prior_of(counts).log().numpy()

    def judged(records: Sequence[Record], answered: list[Answer], adjustment: float) -> Evaluator:
        evaluator = Evaluator(dataset, at=AT, mode="predcls")
        for record, (pairs, scores) in zip(records, answered, strict=True):
            evaluator.add(record, None, predicted(record, pairs, _adjusted(scores, adjustment, prior)))
        return evaluator

    seen, curve = scorer(held), []
    for adjustment in ADJUSTMENTS:
        own = judged(validation, seen, adjustment).metrics()
        curve.append({"logit_adjustment": adjustment, "R@20": own["R@20"] or 0.0, "mR@20": own["mR@20"] or 0.0})
    points = {"recall": 0.0, "balanced": best_adjustment(curve)}
    seen = scorer([Example.of(record) for record in dev])
    return [
        (
            {"model": name, "point": point},
            metrics(judged(dev, seen, adjustment), dataset, counts) | {"balance": adjustment},
        )
        for point, adjustment in points.items()
    ]


def _adjusted(scores: np.ndarray, adjustment: float, prior: np.ndarray) -> np.ndarray:
    """Scores (R, P) with the prior taken off P(predicate | pair); P(pair) stays."""
    related = scores.sum(1, keepdims=True)
    even = scores * np.exp(-adjustment * prior)
    return even * related / np.maximum(even.sum(1, keepdims=True), 1e-12)


if __name__ == "__main__":
    try:
        main()
    except SpadeError as error:
        raise SystemExit(str(error)) from None
