"""Step 3 without images: relations learned from labels and boxes alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from spade.core.artifact import ArtifactWriter, keyed
from spade.core.device import device_name, refuse_several
from spade.core.files import write_bytes, write_json_lines
from spade.core.hub import fingerprint
from spade.core.settings import configure
from spade.data.split_lists import SplitList, as_kept, split_of
from spade.open_vocabulary.clip_files import resolve_clip
from spade.relations.config import PAPER, RelationHeadConfig, box_head
from spade.steps.common import (
    Run,
    StepResult,
    absolute_if_local,
    cached_result,
    choose_records,
    finished_result,
    kept_from_training,
    no_source,
    open_dataset,
)
from spade.steps.config import TrainBoxesConfig
from spade.steps.results import TrainBoxesResult
from spade.steps.threads import settle_threads
from spade.training.config import PAPER as PAPER_SCHEDULE
from spade.training.config import BoxTrainingConfig, RelationLossConfig, Schedule, boxes_schedule
from spade.training.mirroring import told_by_side, unmirrored

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.training.loop import Row

STEP, VERSION = "train-boxes", 1


@dataclass(frozen=True)
class Method:
    """Everything that is decided about a training, with every default resolved."""

    relations: RelationHeadConfig
    losses: RelationLossConfig
    boxes: BoxTrainingConfig
    schedule: Schedule


def run(config: TrainBoxesConfig, run: Run) -> StepResult[TrainBoxesResult]:
    """Train a relation head on a data set's annotation, or find it done. Resumes from the last checkpoint after a
    kill.
    """
    refuse_several("spade train-boxes")
    no_source(run, "spade train-boxes")
    method = resolve(config)
    whole = open_dataset(config.data, config.images, run.report, config.strict)
    split = split_of(config.split_list, whole)
    dataset, kept = kept_from_training(whole, split)
    if one_sided := told_by_side(dataset.vocabulary):
        run.report.say(unmirrored(one_sided))
    mirrored = 0.0 if one_sided else 0.5
    config = replace(config, device=device_name(config.device))
    records = choose_records(dataset, "train", config.limit, with_relations=True)
    prints = {"data": dataset.fingerprint(records, images=False)}
    if config.clip is not None:
        prints["clip"] = fingerprint(resolve_clip(config.clip))
    key = keyed(config) | kept | {part.name: keyed(getattr(method, part.name)) for part in fields(method)}
    writer = run.workspace.writer(STEP, VERSION, key, {}, prints, run.force)
    if writer.cached:
        writer.refresh(split=as_kept(split))
        return cached_result(TrainBoxesResult, writer, config.strict)
    return _train(config, method, dataset, records, mirrored, split, writer, run)


def resolve(config: TrainBoxesConfig) -> Method:
    """The method that a config asks for. Raises SpadeError for a setting that changes nothing."""
    preset: dict[str, Any] = {}
    if config.preset == "paper":  # masks and positions in the image are not there
        preset = (
            {name: value for name, value in PAPER.items() if name != "nearness"} | PAPER_SCHEDULE | {"edges": False}
        )
    base: dict[str, Any] = {
        "relations": box_head(),
        "losses": RelationLossConfig(),
        "boxes": BoxTrainingConfig(),
        "schedule": boxes_schedule(config.seed),
    }
    if "edges" not in config.settings:  # on by default where there is attention that can weigh them
        plain = {
            "relations": replace(base["relations"], edges=False),
            **{k: v for k, v in base.items() if k != "relations"},
        }
        relations = configure(plain, preset, config.settings)["relations"]
        attends = relations.layers and not {"near", "far"}.isdisjoint(relations.context)
        if not attends or relations.attention == "literal":
            base = plain
    method = Method(**configure(base, preset, config.settings))
    method.relations.refuse_idle(config.settings)
    return method


def _train(
    config: TrainBoxesConfig,
    method: Method,
    dataset: Dataset,
    records: list[Record],
    mirrored: float,
    split: SplitList | None,
    writer: ArtifactWriter,
    run: Run,
) -> StepResult[TrainBoxesResult]:
    from functools import partial

    import torch

    from spade.core.device import open_device
    from spade.export.plots import adjustment_png
    from spade.models.build import build_box_model
    from spade.models.checkpoint import save_box_model
    from spade.open_vocabulary.clip import load_clip
    from spade.steps.fit import fit_artifact
    from spade.structures.label_index import LabelIndex
    from spade.training.boxes import BoxTraining

    device = open_device(config.device)
    settle_threads()
    torch.manual_seed(config.seed)
    index = LabelIndex.of(dataset.vocabulary.objects)
    clip = None if config.clip is None else load_clip(config.clip, device)
    model = build_box_model(method.relations, dataset.vocabulary, index, clip, method.boxes.label_dropout).to(device)
    training = BoxTraining(model, index, dataset, records, method.losses, mirrored)
    writer.begin()
    try:
        batches = partial(training.batches, method.schedule.batch_size, config.seed)
        parameters = dict(model.named_parameters())
        _, best = fit_artifact(
            writer,
            run,
            batches,
            parameters,
            method.schedule,
            training.losses,
            training.validate,
            "score",
            random_start=True,
        )
        points = training.curve()
        chosen = best_adjustment(points)
        name = None if config.clip is None else absolute_if_local(config.clip)
        save_box_model(writer.path, training.model, dataset.vocabulary, index, training.counts.tolist(), name, chosen)
        write_json_lines(writer.file("adjustment.jsonl"), points)
        write_bytes(writer.file("adjustment.png"), adjustment_png(points, chosen))
        result = TrainBoxesResult(
            data=str(dataset.opened_as.resolve()),
            images_root=str(dataset.root.resolve()),
            train_images=len(training.train),
            validation_images=len(training.validation),
            parameters=sum(p.numel() for p in parameters.values()),
            logit_adjustment=chosen,
            validation_after=next(row for row in points if row["logit_adjustment"] == chosen),
            validation_unadjusted=points[0],
            best_epoch=int(best["epoch"]),
            split=as_kept(split),
        )
        return finished_result(TrainBoxesResult, writer.finish(result.to_json()))
    finally:
        writer.release()


def best_adjustment(points: list[Row]) -> float:
    """The logit adjustment where R@20 and mR@20 together are highest; of equals the least."""
    return max(points, key=lambda row: (row["R@20"] + row["mR@20"], -row["logit_adjustment"]))["logit_adjustment"]
