"""Step 2: teach the UNet, through LoRA and an image adapter, to look where the teacher looked, without the caption."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.config import CalibrateConfig
from spade.data.images import read_image
from spade.data.psg import Dataset, Record, load_psg
from spade.diffusion import lora
from spade.diffusion.alignment import Target, label_targets, map_loss, pointing_hit
from spade.diffusion.attention import combine, reading
from spade.diffusion.backbone import embedded_model, fingerprint, load_backbone, preset, resolve_backbone
from spade.diffusion.student import LabelContext, Observation, Student, load_student, new_adapter
from spade.distributed import refuse_several
from spade.errors import SpadeError
from spade.files import write_json_lines
from spade.model import pick_device
from spade.open_vocabulary import load_clip, resolve_clip
from spade.segmentation.mask_generator import covered_cells
from spade.steps.common import Memo, Run, StepResult, already_there, just_made
from spade.steps.invert import read_maps
from spade.steps.learning import TrainingImages, train
from spade.steps.pictures import true_map
from spade.training import Optimisation, Row
from spade.workspace import Artifact, keyed, verify

STEP, VERSION = "calibrate", 1


def run(config: CalibrateConfig, run: Run) -> StepResult:
    """Calibrate on the newest inversion, or find it done. Resumes from the last checkpoint after a kill."""
    refuse_several("spade calibrate")
    device = pick_device(config.device)
    teacher = run.workspace.newest("invert", run.source, needed_by="spade calibrate")
    assert teacher is not None
    source = teacher.manifest["result"]
    defaults = preset(resolve_backbone(source["backbone"]))
    embedded = config.init == "embedded" and source["backbone"] == "tiny" and source["clip"] == "tiny"
    config = replace(
        config,
        alpha=config.alpha or float(config.rank),
        epochs=config.epochs or defaults.calibrate_epochs,
        learning_rate=config.learning_rate or (1e-4 if embedded else 1e-3),
        init="embedded" if embedded else "scratch",
        device=str(device),
    )
    prints = {"start": fingerprint(embedded_model() / "adapter")} if embedded else {}
    draft = run.workspace.draft(STEP, VERSION, keyed(config), {"invert": teacher.key}, prints, run.force)
    if draft.cached:
        return already_there(draft)
    verify(teacher, "run spade invert --force")
    for part, place in (("backbone", resolve_backbone(source["backbone"])), ("clip", resolve_clip(source["clip"]))):
        if fingerprint(place) != teacher.manifest["fingerprints"][part]:
            raise SpadeError(f"{place}: this {part} changed since it gave the teacher maps; run spade invert again.")
    dataset, records = inverted_records(teacher)
    run.report.detail(f"teacher maps: {teacher.path}")
    backbone = load_backbone(source["backbone"], device, getattr(torch, config.dtype))
    clip = load_clip(source["clip"], device)
    torch.manual_seed(config.seed)
    student = _start(config, backbone, clip, run)
    draft.begin()
    try:
        job = _Job(student, dataset, records, _targets(teacher), defaults.map_strides)
        parameters = lora.trainable(backbone.unet) | dict(student.adapter.named_parameters())
        options = Optimisation(epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed)
        batch_size = defaults.batch_size
        curves, best = train(draft, run, job.images, batch_size, parameters, options, job.losses, job.watch, "minus_loss")
        before = curves[0]
        student.save(draft.file("adapter"))
        write_json_lines(draft.file("curves.jsonl"), curves)
        result = {
            **{name: source[name] for name in ("data", "images_root", "backbone", "clip")},
            "init": config.init,
            "learned_from": len(job.images.learned),
            "watched": len(job.images.watched),
            "parameters": sum(p.numel() for p in parameters.values()),
            "best_epoch": int(best["epoch"]),
            "loss_before": -before["minus_loss"],
            "loss_after": -best["minus_loss"],
            "pointing_before": before.get("pointing"),
            "pointing_after": best.get("pointing"),
            "chance": before.get("chance"),
        }
        return just_made(draft.finish(result))
    finally:
        draft.release()


def inverted_records(teacher: Artifact) -> tuple[Dataset, list[Record]]:
    """The data set that was inverted and its records in the order of the index. Raises SpadeError if it changed since."""
    source = teacher.manifest["result"]
    root = Path(source["images_root"]) if source["images_root"] else None
    dataset = load_psg(Path(source["data"]), root).for_training()
    config = teacher.manifest["config"]
    all_records = [r for r in dataset.split(config["split"]) if r.training_triples()][: config["limit"]]
    if dataset.fingerprint(all_records) != teacher.manifest["fingerprints"]["data"]:
        raise SpadeError(f"{dataset.source}: the data set changed since it was inverted; run spade invert again.")
    by_id = {record.image_id: record for record in all_records}
    return dataset, [by_id[image_id] for image_id, _, _ in read_maps(teacher)]


def _targets(teacher: Artifact) -> dict[str, list[Target]]:
    """image_id -> one target a label."""
    return {
        image_id: label_targets([span["name"] for span in spans], [span["segment"] for span in spans], maps)
        for image_id, spans, maps in read_maps(teacher)
    }


def _start(config: CalibrateConfig, backbone: Any, clip: Any, run: Run) -> Student:
    """A student to be trained: the packaged adapter where ranks agree, else a fresh one."""
    packaged = embedded_model() / "adapter"
    if config.init == "embedded":
        student = load_student(backbone, clip, packaged, with_lora=True)
        found = backbone.unet.peft_config[lora.NAME]
        if found.r == config.rank and float(found.lora_alpha) == config.alpha:
            run.report.say("starting from the packaged adapter (--init scratch for a fresh one)")
            student.adapter.requires_grad_(True)
            return student
        raise SpadeError(
            f"--rank {config.rank} --alpha {config.alpha:g}: the packaged adapter has rank {found.r} and alpha {found.lora_alpha:g}; "
            "use those, or --init scratch."
        )
    lora.attach(backbone.unet, config.rank, config.alpha)
    return Student(backbone, clip, new_adapter(backbone, clip), preset(backbone.folder).feature_timestep)


@dataclass(frozen=True)
class _Seen:
    """A record's observation and, for each target with segments, its mask (h, w) bool on the maps' grid."""

    observation: Observation
    masks: Mapping[str, Tensor]


class _Job:
    """The data of one calibration: which images are learned from, which are watched, their targets and losses."""

    def __init__(
        self, student: Student, dataset: Dataset, records: Sequence[Record], targets: Mapping[str, list[Target]], strides: Sequence[int]
    ) -> None:
        self.student, self.dataset, self.targets, self.strides = student, dataset, targets, tuple(strides)
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        self.place = {name: i for i, name in enumerate([*vocabulary.names, *(f"predicate {p}" for p in vocabulary.predicates)])}
        self._seen: Memo[_Seen] = Memo(self._look, lambda seen: seen.observation.bytes)

    def _look(self, index: int) -> _Seen:
        record = self.images.records[index]
        observation = self.student.observe(read_image(self.dataset.image_path(record)))
        return _Seen(observation, self._masks(record) if index in self.images.watched else {})

    def _masks(self, record: Record) -> dict[str, Tensor]:
        """Cells that lie in any segment of a label, for the labels with a target; empty without a panoptic png that fits."""
        try:
            ids = true_map(self.dataset, record)
        except SpadeError:
            return {}
        masks = {}
        for target in self.targets[record.image_id]:
            if not target.segments:
                continue
            named = [s.id for s in record.segments if self.dataset.classes[s.category] == target.label]
            inside = np.isin(ids, named)
            if inside.any():
                masks[target.label] = covered_cells(torch.from_numpy(inside), (target.map.shape[0], target.map.shape[1]))
        return masks

    def _position(self, target: Target) -> int:
        name = target.label if target.segments else f"predicate {target.label}"
        return self.place[name]

    def _student_maps(self, batch: Sequence[_Seen], chosen: Sequence[int]) -> Tensor:
        """Attention (B, L, h, w) with the labels at ``chosen`` in the context; the i-th of them at position 1 + i."""
        student = self.student
        tokens = self.labels.tokens[list(chosen)]
        labels = LabelContext(self.labels.begin, tokens)
        latents = torch.cat([seen.observation.latents for seen in batch])
        context = student.context(labels, torch.cat([seen.observation.embedding for seen in batch]))
        with reading(student.backbone.unet, self.strides) as store:
            student.backbone.unet(latents, student.timestep, encoder_hidden_states=context)
        return combine(store, student.backbone.unet, (latents.shape[-2], latents.shape[-1]))

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """L1 between normalised maps. The context holds the batch's labels and all or a random part of the others."""
        wanted = [[(self._position(t), t.map) for t in self.targets[self.images.records[i].image_id]] for i in batch]
        present = {position for row in wanted for position, _ in row}
        share = 2 * float(torch.rand(()))  # half of the batches see the whole list, as at test time
        drawn = torch.rand(len(self.place)) < share
        chosen = [i for i in range(len(self.place)) if i in present or bool(drawn[i])]
        where = {position: 1 + i for i, position in enumerate(chosen)}
        maps = self._student_maps([self._seen[i] for i in batch], chosen)
        return {"l1": map_loss(maps, [[(where[position], target) for position, target in row] for row in wanted])}

    def watch(self) -> Row:
        """Loss under the whole list, pointing game and mass inside for objects, on the watched images, one at a time."""
        losses: list[float] = []
        hits: list[tuple[bool, float, float]] = []
        everything = list(range(len(self.place)))
        with torch.no_grad():
            for index in self.images.watched:
                seen = self._seen[index]
                maps = self._student_maps([seen], everything)
                targets = self.targets[self.images.records[index].image_id]
                losses.append(float(map_loss(maps, [[(1 + self._position(t), t.map) for t in targets]])))
                hits += [pointing_hit(maps[0, 1 + self.place[label]], mask.to(maps.device)) for label, mask in seen.masks.items()]
        row = {"minus_loss": -math.fsum(losses) / len(losses)}
        if hits:
            for i, name in enumerate(("pointing", "mass_inside", "chance")):
                row[name] = math.fsum(float(hit[i]) for hit in hits) / len(hits)
        return row
