"""Step 3 without pixels: relations learned from labels and boxes alone."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from spade.config import RelationsConfig
from spade.data.psg import Dataset
from spade.device import pick_device
from spade.diffusion.backbone import fingerprint
from spade.errors import SpadeError
from spade.export.plots import balance_png, curves_png
from spade.files import write_bytes, write_json, write_json_lines
from spade.loading import LAYOUT_WEIGHTS, MODEL_FORMAT
from spade.naming import NameTable
from spade.open_vocabulary import load_clip, resolve_clip
from spade.relations.layout import LayoutModel, LearnedWords, TextWords
from spade.relations.model import OCTAVES, RelationConfig, RelationHeads
from spade.relations.pairs import DETAILED
from spade.steps.common import Run, StepResult, already_there, choose_records, just_made, no_source, open_dataset, portable
from spade.steps.layout_training import LayoutTraining
from spade.steps.learning import train
from spade.training import Optimisation, Row
from spade.vocabulary import known_supercategory
from spade.weights import to_bytes
from spade.workspace import keyed

STEP, VERSION = "train-relations", 4
LABEL, WIDTH, PAIRS = 64, 128, 10_000
AVERAGED = 0.999  # decay of the average of weights that is watched and kept: 0.4 to 1.7 points of R@20 on watched records of PSG


def run(config: RelationsConfig, run: Run) -> StepResult:
    """Train relation heads on a data set's annotation, or find it done. Resumes from the last checkpoint after a kill."""
    if config.data is None:
        raise SpadeError("--nodes layout: name the data set, for example: spade train-relations data/psg --nodes layout")
    no_source(run, "--nodes layout")
    device = pick_device(config.device)
    dataset = open_dataset(config.data, config.images, run.report, config.strict).for_training()
    config = replace(completed(config), device=str(device), dtype="float32")
    records = choose_records(dataset, "train", config.limit, with_relations=True)
    prints = {"data": dataset.fingerprint(records, pictures=False)}
    if config.clip is not None:
        prints["clip"] = fingerprint(resolve_clip(config.clip))
    draft = run.workspace.draft(STEP, VERSION, keyed(config), {}, prints, run.force)
    if draft.cached:
        return already_there(draft, config.strict)
    torch.manual_seed(config.seed)
    table = NameTable.of(dataset.vocabulary.objects)
    model = build(config, dataset, table).to(device)
    job = LayoutTraining(model, table, dataset, records, config)
    draft.begin()
    try:
        batches, parameters = partial(job.batches, config.batch_size, config.seed), dict(model.named_parameters())
        curves, best = train(draft, run, batches, parameters, optimisation(config), job.losses, job.watch, "score", random_start=True)
        points = job.curve()
        balance = balanced(points)
        save_layout(draft.path, job, table, None if config.clip is None else portable(config.clip), balance)
        write_json_lines(draft.file("curves.jsonl"), curves)
        write_json_lines(draft.file("balance.jsonl"), points)
        write_bytes(draft.file("curves.png"), curves_png(curves))
        write_bytes(draft.file("balance.png"), balance_png(points, balance))
        result = {
            "data": str(dataset.source.resolve()),
            "images_root": str(dataset.root.resolve()),
            "nodes": "layout",
            "init": config.init,
            "learned_from": len(job.learned),
            "watched": len(job.watched),
            "parameters": sum(p.numel() for p in parameters.values()),
            "balance": balance,
            "watched_after": next(row for row in points if row["balance"] == balance),
            "watched_unbalanced": points[0],
            "best_epoch": int(best["epoch"]),
        }
        return just_made(draft.finish(result))
    finally:
        draft.release()


def completed(config: RelationsConfig) -> RelationsConfig:
    """With what is left open as it is for labels and boxes."""
    return replace(
        config,
        epochs=config.epochs or 10,
        batch_size=config.batch_size or 32,
        learning_rate=config.learning_rate or 1e-3,
        layers=3 if config.layers is None else config.layers,
        octaves=OCTAVES if config.octaves is None else config.octaves,
        edges=config.attention == "values" and config.layers != 0 if config.edges is None else config.edges,
        dropout=0.3 if config.dropout is None else config.dropout,
        neighbours=config.neighbours or "hard",
        init="scratch",
    )


def optimisation(config: RelationsConfig) -> Optimisation:
    """How relations of labels and boxes are trained."""
    return Optimisation(
        config.epochs, config.learning_rate, config.seed, weight_decay=0.05, ema_decay=AVERAGED, accumulate=config.accumulate
    )


def build(config: RelationsConfig, dataset: Dataset, table: NameTable) -> LayoutModel:
    """Fresh heads and words for a data set's names; with an OpenCLIP model, its text embeddings instead of learned vectors."""
    words: LearnedWords | TextWords
    vocabulary = dataset.vocabulary
    if config.clip is None:
        words = LearnedWords(len(table.labels), max(1, len(table.groups)), len(vocabulary.predicates), LABEL, config.withheld)
        size = LABEL
    else:
        clip = load_clip(config.clip, pick_device(config.device))
        words = TextWords(clip.embed_labels(vocabulary.objects), clip.embed_predicates(vocabulary.predicates))
        size = clip.dim
    heads = RelationConfig(
        clip_dim=size,
        nodes="layout",
        width=config.width or WIDTH,
        layers=config.layers or 0,
        context=config.context,
        attention=config.attention,
        neighbours=config.neighbours or "hard",
        selector=config.selector,
        geometry=config.geometry,
        facts=DETAILED,
        octaves=config.octaves or 0,
        edges=bool(config.edges),
        dropout=config.dropout or 0.0,
        gate=config.gate,
        contrast=config.contrast,
        look=config.look,
        pairs=config.pairs or PAIRS,
    )
    return LayoutModel(RelationHeads(heads), words)


def balanced(points: list[Row]) -> float:
    """Where R@20 and mR@20 together are highest; of equals the least."""
    return max(points, key=lambda row: (row["R@20"] + row["mR@20"], -row["balance"]))["balance"]


def save_layout(folder: Path, job: LayoutTraining, table: NameTable, clip: str | None, balance: float) -> None:
    """Write a model folder that ``spade.load_relater`` reads: weights, and last model.json."""
    objects = [replace(label, supercategory=label.supercategory or known_supercategory(label.name)) for label in table.labels]
    vocabulary = replace(job.dataset.vocabulary, objects=tuple(objects))
    write_bytes(folder / LAYOUT_WEIGHTS, to_bytes(job.model.state_dict()))
    facts = {
        "format": MODEL_FORMAT,
        "nodes": "layout",
        "relations": asdict(job.model.heads.config),
        "vocabulary": vocabulary.to_json(),
        "groups": list(table.groups),
        "clip": clip,
        "counts": job.counts.tolist(),
        "balance": balance,
    }
    write_json(folder / "model.json", facts)
