"""Step 3 without pixels: relations learned from labels and boxes alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from spade.core.device import pick_device
from spade.core.errors import SpadeError
from spade.core.files import write_bytes, write_json_lines
from spade.core.workspace import keyed
from spade.data.psg import Dataset
from spade.diffusion.backbone_files import fingerprint
from spade.export.plots import balance_png, curves_png
from spade.models.checkpoint import save_box_model
from spade.open_vocabulary.clip import load_clip
from spade.open_vocabulary.clip_files import resolve_clip
from spade.relations.boxes import BoxRelationModel, LearnedEmbeddings, TextEmbeddings
from spade.relations.config import DETAILED, FOURIER_BANDS, RelationHeadConfig
from spade.relations.head import RelationHead
from spade.steps.common import (
    Run,
    StepResult,
    absolute_if_local,
    cached_result,
    choose_records,
    finished_result,
    no_source,
    open_dataset,
)
from spade.steps.config import RelationsConfig
from spade.steps.fit import train
from spade.structures.label_index import LabelIndex
from spade.training.boxes import BoxTraining
from spade.training.config import Optimisation
from spade.training.loop import Row

STEP, VERSION = "train-relations", 4
LABEL, WIDTH, PAIRS = 64, 128, 10_000
# decay of the average of weights that is watched and kept: 0.4 to 1.7 points of R@20 on watched records of PSG
AVERAGED = 0.999


def run(config: RelationsConfig, run: Run) -> StepResult:
    """Train relation heads on a data set's annotation, or find it done. Resumes from the last checkpoint after a
    kill.
    """
    if config.data is None:
        raise SpadeError(
            "--nodes layout: name the data set, for example: spade train-relations data/psg --nodes layout"
        )
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
        return cached_result(draft, config.strict)
    torch.manual_seed(config.seed)
    table = LabelIndex.of(dataset.vocabulary.objects)
    model = build(config, dataset, table).to(device)
    job = BoxTraining(model, table, dataset, records, config)
    draft.begin()
    try:
        batches, parameters = partial(job.batches, config.batch_size, config.seed), dict(model.named_parameters())
        curves, best = train(
            draft, run, batches, parameters, optimisation(config), job.losses, job.watch, "score", random_start=True
        )
        points = job.curve()
        balance = balanced(points)
        save_box_model(draft.path, job, table, None if config.clip is None else absolute_if_local(config.clip), balance)
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
        return finished_result(draft.finish(result))
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
        octaves=FOURIER_BANDS if config.octaves is None else config.octaves,
        edges=config.attention == "values" and config.layers != 0 if config.edges is None else config.edges,
        dropout=0.3 if config.dropout is None else config.dropout,
        neighbours=config.neighbours or "hard",
        init="scratch",
    )


def optimisation(config: RelationsConfig) -> Optimisation:
    """How relations of labels and boxes are trained."""
    return Optimisation(
        config.epochs,
        config.learning_rate,
        config.seed,
        weight_decay=0.05,
        ema_decay=AVERAGED,
        accumulate=config.accumulate,
    )


def build(config: RelationsConfig, dataset: Dataset, table: LabelIndex) -> BoxRelationModel:
    """Fresh heads and words for a data set's names; with an OpenCLIP model, its text embeddings instead of learned
    vectors.
    """
    words: LearnedEmbeddings | TextEmbeddings
    vocabulary = dataset.vocabulary
    if config.clip is None:
        words = LearnedEmbeddings(
            len(table.labels), max(1, len(table.groups)), len(vocabulary.predicates), LABEL, config.withheld
        )
        size = LABEL
    else:
        clip = load_clip(config.clip, pick_device(config.device))
        words = TextEmbeddings(clip.embed_labels(vocabulary.objects), clip.embed_predicates(vocabulary.predicates))
        size = clip.dim
    heads = RelationHeadConfig(
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
    return BoxRelationModel(RelationHead(heads), words)


def balanced(points: list[Row]) -> float:
    """Where R@20 and mR@20 together are highest; of equals the least."""
    return max(points, key=lambda row: (row["R@20"] + row["mR@20"], -row["balance"]))["balance"]
