"""Relations of labels and boxes on real PSG annotations: predicate classification on a dev list of training records,
baselines beside it.

Networks are trained as ``spade train-relations --nodes layout`` trains; every choice (best epoch, balance) is made on a
tenth of the training records, dev is read once a model. Rows are appended as they finish, trainings resume.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from common import Results, spread
from psg_baselines import Boosting, Frequency, Scorer

from spade.core.errors import SpadeError
from spade.core.files import canonical_hash, sha256_file, write_bytes
from spade.core.weights import load_weights, to_bytes
from spade.data.psg import Dataset, Record
from spade.data.psg_reader import load_psg
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.groups import FAR, Facts, part, positional_predicates
from spade.evaluation.scoring.recall import Recalls
from spade.models.load import load_relation_predictor
from spade.relations.boxes import BoxRelationModel, BoxSegments
from spade.relations.losses import prior_of
from spade.steps.config import RelationsConfig
from spade.steps.train_boxes import balanced, build, completed, optimisation
from spade.structures.label_index import LabelIndex
from spade.training.boxes import BALANCES, BoxTraining, box_segments_of, predicted
from spade.training.loop import fit

AT, SEEDS = (20, 50, 100), (0, 1, 2)
SHARED = Path(os.environ.get("SPADE_SHARED", Path(__file__).parents[2] / "shared"))
PSG = SHARED / "data" / "psg_train_subset" / "psg_subset.json.gz"
FULL = completed(RelationsConfig(nodes="layout"))
NETWORKS = {
    "pairwise": replace(
        FULL, layers=1, context=(), look=False, width=192
    ),  # of the full one's size, blind to other segments
    "rgt-none": replace(FULL, context=()),
    "rgt-neighbours": replace(FULL, context=("near",)),
    "rgt-others": replace(FULL, context=("far",)),
    "rgt-full": FULL,
}
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
    if not PSG.is_file():
        raise SystemExit(
            f"{PSG}: the records are not there; SPADE_SHARED names the folder that holds data/psg_train_subset"
        )
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
        results.add({"model": "packaged"}, {"milliseconds an image": packaged_milliseconds()})
    results.show(options)


Rows = list[tuple[dict[str, str], dict[str, float | None]]]


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


def _run(job: tuple[str, int, Path, bool, str]) -> Rows:
    name, seed, work, quick, device = job
    if name in ("frequency", "boosting"):
        return _baseline(name, seed, quick)
    return _network(name, seed, work, quick, device)


def _network(name: str, seed: int, work: Path, quick: bool, device: str) -> Rows:
    dataset, training, dev = data(quick)
    config = replace(NETWORKS.get(name, FULL), seed=seed, epochs=1 if quick else FULL.epochs, device=device)
    place = None if quick else work
    if name == HIDDEN:
        return _hidden(config, dataset, training, dev, place)
    model, job = trained(config, dataset, training, place)
    points, prior = {"recall": 0.0, "balanced": balanced(job.curve(BALANCES))}, prior_of(job.counts).log()
    evaluators = {point: Evaluator(dataset, at=AT, mode="predcls") for point in points}
    outputs = list(answers(model, box_segments_of(dev, LabelIndex.of(dataset.vocabulary.objects), dataset)))
    for record, (pairs, related, logits) in zip(dev, outputs, strict=True):
        for point, balance in points.items():
            scores = (related[:, None] * (logits - balance * prior).softmax(-1)).numpy()
            evaluators[point].add(record, None, predicted(record, pairs, scores))
    counts = {"parameters": sum(p.numel() for p in model.parameters())}
    return [
        (
            {"model": name, "point": point},
            metrics(evaluators[point], dataset, job.counts) | {"balance": points[point]} | counts,
        )
        for point in points
    ]


def trained(
    config: RelationsConfig, dataset: Dataset, training: Sequence[Record], work: Path | None
) -> tuple[BoxRelationModel, BoxTraining]:
    """A network after its training, as the step trains it, and its training data. Found done in ``work``."""
    torch.manual_seed(config.seed)
    table = LabelIndex.of(dataset.vocabulary.objects)
    model = build(config, dataset, table).to(config.device)
    job = BoxTraining(model, table, dataset, training, config)
    what = [
        str(config),
        str(model.heads.config),
        dataset.classes,
        [record.image_id for record in training],
        sha256_file(PSG),
    ]
    place = None if work is None else work / f"{canonical_hash(what)[:16]}.safetensors"
    if place is not None and place.is_file():
        load_weights(model, place, "remove it")
        return model.eval(), job
    fit(
        dict(model.named_parameters()),
        optimisation(config),
        partial(job.batches, config.batch_size, config.seed),
        job.losses,
        job.validate,
        "score",
        None if place is None else place.with_suffix(".state"),
        what[:1],
        lambda steps, done, total: steps,
        lambda line: None,
        random_start=True,
    )
    if place is not None:
        write_bytes(place, to_bytes(model.state_dict()))
        place.with_suffix(".state").unlink()
    return model.eval(), job


def packaged_milliseconds() -> float:
    """What the packaged model needs for an image of dev whose segments are known, in this process with one thread."""
    torch.set_num_threads(1)
    dataset, _, dev = data(False)
    relater, predicates = load_relation_predictor(device="cpu"), dataset.vocabulary.predicates
    labels = [[dataset.vocabulary.objects[segment.category] for segment in record.segments] for record in dev]
    began = time.perf_counter()
    for record, own in zip(dev, labels, strict=True):
        boxes = torch.tensor([segment.bbox for segment in record.segments], dtype=torch.float32)
        area = torch.tensor([segment.area for segment in record.segments], dtype=torch.float32)
        relater.scores(
            own, [relater.table.find(label) for label in own], boxes, area, (record.width, record.height), predicates
        )
    return round(1000 * (time.perf_counter() - began) / len(dev), 2)


@torch.no_grad()
def answers(
    model: BoxRelationModel, layouts: Sequence[BoxSegments]
) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
    """Pairs (R, 2), P(pair) (R,) and predicate logits (R, P), one image at a time on the CPU, as ``spade predict``
    asks.
    """
    model.cpu().eval()
    for layout in layouts:
        (result,) = model.relate([layout])
        yield result.pairs.numpy(), result.pair_logits.sigmoid(), result.predicate_logits


def _hidden(
    config: RelationsConfig, dataset: Dataset, training: Sequence[Record], dev: Sequence[Record], work: Path | None
) -> Rows:
    """A fifth of the names, by a seed, is kept from training, with all that is annotated of them; what is lost on their
    triplets.

    A hidden label stands for its supercategory, or for an unknown thing or stuff. The measure is the seed's full model,
    which knows it.
    """
    out = np.random.default_rng([7, config.seed]).permutation(len(dataset.classes))[: len(dataset.classes) // 5]
    names = frozenset(dataset.classes[i] for i in out)
    learned = {record.image_id for record in training}
    small = replace(dataset, novel_objects=names).for_training()
    shown = [record for record in small.records if record.image_id in learned and record.training_triples()]
    blind, _ = trained(config, small, shown, work)
    whole, _ = trained(config, dataset, training, work)
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
        recalls = _recalls(evaluator, dataset)
        facts = Facts.of(recalls)
        touched = np.isin(facts.subject, out) | np.isin(facts.object, out)
        for labels, chosen in (("hidden", touched), ("shown", ~touched)):
            found = part(recalls, chosen)
            metrics = {f"R@{k}": _percent(found[f"R@{k}"]) for k in AT} | {"triplets": float(chosen.sum())}
            rows.append(({"model": HIDDEN, "point": "recall", "labels": labels, "told": way}, metrics))
    return rows


def _baseline(name: str, seed: int, quick: bool) -> Rows:
    dataset, training, dev = data(quick)
    scorer: Scorer = Frequency(dataset, training) if name == "frequency" else Boosting(dataset, training, seed, quick)
    prior = np.log(prior_of(torch.from_numpy(scorer.counts)).numpy())

    def judged(records: Sequence[Record], answered: list[tuple[np.ndarray, np.ndarray]], balance: float) -> Evaluator:
        evaluator = Evaluator(dataset, at=AT, mode="predcls")
        for record, (pairs, scores) in zip(records, answered, strict=True):
            evaluator.add(record, None, predicted(record, pairs, _balanced(scores, balance, prior)))
        return evaluator

    seen, curve = scorer(scorer.validation), []
    for balance in BALANCES:
        own = judged(scorer.validation, seen, balance).metrics()
        curve.append({"balance": balance, "R@20": own["R@20"] or 0.0, "mR@20": own["mR@20"] or 0.0})
    points, seen = {"recall": 0.0, "balanced": balanced(curve)}, scorer(dev)
    return [
        (
            {"model": name, "point": point},
            metrics(judged(dev, seen, balance), dataset, torch.from_numpy(scorer.counts)) | {"balance": balance},
        )
        for point, balance in points.items()
    ]


def _balanced(scores: np.ndarray, balance: float, prior: np.ndarray) -> np.ndarray:
    """Scores (R, P) with the prior taken off P(predicate | pair); P(pair) stays."""
    related = scores.sum(1, keepdims=True)
    even = scores * np.exp(-balance * prior)
    return even * related / np.maximum(even.sum(1, keepdims=True), 1e-12)


def metrics(evaluator: Evaluator, dataset: Dataset, counts: torch.Tensor) -> dict[str, float | None]:
    """All figures of a row, in percent."""
    own, recalls = evaluator.metrics(), _recalls(evaluator, dataset)
    facts = Facts.of(recalls)
    names = [f"{name}@{k}" for name in ("R", "mR", "ngR", "PR") for k in AT]
    out = {name: _percent(own[name]) for name in names} | {"top1": _percent(own[f"A@{AT[-1]}"])}
    order = torch.argsort(counts, descending=True, stable=True).tolist()
    positional = [i for i, name in enumerate(dataset.predicates) if name in positional_predicates()]
    others = [i for i in range(len(dataset.predicates)) if i not in positional]
    groups = {
        "positional": positional,
        "other": others,
        "frequent": order[:10],
        "middle": order[10:30],
        "rare": order[30:],
    }
    for name, members in groups.items():
        found = part(recalls, np.isin(facts.predicate, members), members)
        out |= {f"{metric}@20 {name}": _percent(found[f"{metric}@20"]) for metric in ("R", "mR")}
    for name, chosen in (("near", facts.distance <= FAR), ("far", facts.distance > FAR)):
        out[f"R@20 {name}"] = _percent(part(recalls, chosen)["R@20"])
    return out


def _recalls(evaluator: Evaluator, dataset: Dataset) -> Recalls:
    return Recalls([j for j in evaluator.judged if j.record.relations], evaluator.rules, len(dataset.predicates), AT)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


if __name__ == "__main__":
    try:
        main()
    except SpadeError as error:
        raise SystemExit(str(error)) from None
