"""Step 2: teach the UNet, through LoRA and an image adapter, to look where the teacher looked, without the caption."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from spade.core.device import pick_device, pick_dtype, refuse_several
from spade.core.errors import SpadeError
from spade.core.files import read_json, write_bytes, write_json_lines
from spade.core.workspace import Artifact, keyed, verify
from spade.data.psg import Dataset, Record
from spade.data.psg_reader import load_psg
from spade.diffusion import lora
from spade.diffusion.backbone import Backbone, load_backbone
from spade.diffusion.backbone_files import TINY, backbone_defaults, embedded_model, fingerprint, resolve_backbone
from spade.diffusion.config import CalibrateConfig
from spade.diffusion.student import Kind, Student, load_student, new_student
from spade.diffusion.teacher_maps import image_ids, read_maps
from spade.export.plots import curves_png
from spade.open_vocabulary.clip import OpenClip, load_clip
from spade.open_vocabulary.clip_files import resolve_clip
from spade.steps.common import Run, StepResult, cached_result, finished_result
from spade.steps.fit import train
from spade.training.calibration import Calibration, TeacherMaps
from spade.training.config import Optimisation

STEP, VERSION = "calibrate", 1


def run(config: CalibrateConfig, run: Run) -> StepResult:
    """Calibrate on the newest inversion, or find it done. Resumes from the last checkpoint after a kill."""
    refuse_several("spade calibrate")
    device = pick_device(config.device)
    teacher = run.workspace.newest("invert", run.source, needed_by="spade calibrate")
    assert teacher is not None
    source = teacher.manifest["result"]
    defaults = backbone_defaults(resolve_backbone(source["backbone"]))
    embedded = config.init == "embedded" and source["backbone"] == "tiny" and source["clip"] == "tiny"
    config = replace(
        config,
        alpha=config.alpha or float(config.rank),
        timestep=config.timestep or defaults.feature_timestep,
        epochs=config.epochs or defaults.calibrate_epochs,
        batch_size=config.batch_size or defaults.batch_size,
        learning_rate=config.learning_rate or _learning_rate(config.train, defaults is TINY, embedded),
        init="embedded" if embedded else "scratch",
        device=str(device),
        dtype="float32" if config.train == "full" else pick_dtype(config.dtype, device),
    )
    if embedded:
        _refuse_other_than_packaged(config, teacher.manifest["config"]["grids"])
    prints = {"start": fingerprint(embedded_model() / "adapter")} if embedded else {}
    draft = run.workspace.draft(STEP, VERSION, keyed(config), {"invert": teacher.key}, prints, run.force)
    if draft.cached:
        return cached_result(draft)
    verify(teacher, "run spade invert --force")
    for part, place in (("backbone", resolve_backbone(source["backbone"])), ("clip", resolve_clip(source["clip"]))):
        if fingerprint(place) != teacher.manifest["fingerprints"][part]:
            raise SpadeError(f"{place}: this {part} changed since it gave the teacher maps; run spade invert again.")
    dataset, records = inverted_records(teacher)
    taught = lessons(teacher, config)
    run.report.detail(f"teacher maps: {teacher.path}")
    backbone = load_backbone(source["backbone"], device, getattr(torch, config.dtype))
    clip = load_clip(source["clip"], device)
    torch.manual_seed(config.seed)
    student, parameters = _start(config, tuple(teacher.manifest["config"]["grids"]), backbone, clip, run)
    draft.begin()
    try:
        job = Calibration(student, dataset, records, taught, config.counterfactual)
        parameters = _reached(parameters, job, config)
        options = Optimisation(
            epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed, accumulate=config.accumulate
        )
        batches = partial(job.images.batches, config.batch_size, config.seed)
        curves, best = train(draft, run, batches, parameters, options, job.losses, job.watch, "minus_loss")
        before = curves[0]
        student.save(draft.file("adapter"))
        write_json_lines(draft.file("curves.jsonl"), curves)
        write_bytes(draft.file("curves.png"), curves_png(curves))
        result = {
            **{name: source[name] for name in ("data", "images_root", "backbone", "clip")},
            "init": config.init,
            **{name: getattr(config, name) for name in ("train", "alignment")},
            "learned_from": len(job.images.learned),
            "watched": len(job.images.watched),
            "parameters": sum(p.numel() for p in parameters.values()),
            "best_epoch": int(best["epoch"]),
            "loss_before": -before["minus_loss"],
            "loss_after": -best["minus_loss"],
            "pointing_before": before.get(job.pointing),
            "pointing_after": best.get(job.pointing),
            "oracle": config.alignment
            != "vocabulary",  # whether pointing is told by the picture's own caption or teacher
            "chance": before.get("chance"),
        }
        return finished_result(draft.finish(result))
    finally:
        draft.release()


def inverted_records(teacher: Artifact) -> tuple[Dataset, list[Record]]:
    """The data set that was inverted and its records in the order of the index. Raises SpadeError if it changed
    since.
    """
    source = teacher.manifest["result"]
    root = Path(source["images_root"]) if source["images_root"] else None
    dataset = load_psg(Path(source["data"]), root).for_training()
    config = teacher.manifest["config"]
    all_records = [r for r in dataset.split(config["split"]) if r.training_triples()][: config["limit"]]
    if dataset.fingerprint(all_records) != teacher.manifest["fingerprints"]["data"]:
        raise SpadeError(f"{dataset.source}: the data set changed since it was inverted; run spade invert again.")
    by_id = {record.image_id: record for record in all_records}
    return dataset, [by_id[image_id] for image_id in image_ids(teacher)]


def lessons(teacher: Artifact, config: CalibrateConfig, only: Collection[str] | None = None) -> dict[str, TeacherMaps]:
    """image_id -> what the teacher saw. Raises SpadeError naming the option of ``spade invert`` where the cache lacks
    what is needed.
    """
    kept = read_maps(teacher, config.alignment == "index", config.counterfactual > 0, only)
    found = {own.image_id: TeacherMaps.of(own) for own in kept}
    if config.alignment == "index" and not all(len(lesson.tokens) for lesson in found.values()):
        raise SpadeError(
            f"{teacher.path}: holds maps of labels only; for --alignment index run spade invert with --keep tokens."
        )
    if config.counterfactual and not any(lesson.wrong for lesson in found.values()):
        raise SpadeError(
            f"{teacher.path}: holds no maps of wrong prompts; for --counterfactual run spade invert with "
            "--counterfactual 3."
        )
    return found


def _learning_rate(train: str, tiny: bool, embedded: bool) -> float:
    """The best of those that were tried from scratch on the tiny model (docs/stage-1.md); a tenth of it elsewhere,
    where none was.
    """
    if embedded:
        return 1e-4
    return (1e-3 if train == "full" else 1e-2) / (1 if tiny else 10)


def _start(
    config: CalibrateConfig, grids: tuple[int, ...], backbone: Backbone, clip: OpenClip, run: Run
) -> tuple[Student, dict[str, torch.nn.Parameter]]:
    """A student to be trained and its parameters: the packaged one where everything agrees, else a fresh one."""
    if config.init == "embedded":
        student = load_student(backbone, clip, embedded_model() / "adapter")
        run.report.say("starting from the packaged adapter (--init scratch for a fresh one)")
        own = lora.trainable(backbone.unet)
    else:
        student = new_student(
            backbone, clip, Kind(config.timestep, grids, config.train, config.alignment), config.tokens
        )
        own = {}
        if config.train == "lora":
            own = lora.attach(backbone.unet, config.rank, config.alpha, config.targets)
        elif config.train == "full":
            own = {
                f"unet.{name}": parameter.requires_grad_(True)
                for name, parameter in backbone.unet.float().named_parameters()
            }
    assert student.adapter is not None
    return student, own | dict(student.adapter.requires_grad_(True).named_parameters())


def _reached(
    parameters: dict[str, torch.nn.Parameter], job: Calibration, config: CalibrateConfig
) -> dict[str, torch.nn.Parameter]:
    """Those that the loss depends on: whatever comes after the last layer that is read learns nothing."""
    batch = job.images.batches(config.batch_size, config.seed, 0)[0]
    torch.manual_seed(config.seed)
    torch.stack([term.float() for term in job.losses(batch).values()]).sum().backward()
    found = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    return found


def _refuse_other_than_packaged(config: CalibrateConfig, grids: list[int]) -> None:
    """Raise SpadeError where options ask for another student than the packaged one, which training would start from."""
    folder, plain = embedded_model() / "adapter", CalibrateConfig()
    lora_facts, facts = (
        read_json(folder / name, "adapter", "install spade again.") for name in ("adapter_config.json", "adapter.json")
    )
    rank, alpha = lora_facts["r"], lora_facts["lora_alpha"]
    held = {
        "rank": rank,
        "alpha": float(rank if alpha is None else alpha),
        "tokens": facts["tokens"],
        "targets": set(plain.targets),
    }
    held |= {name: facts[name] for name in ("train", "alignment", "timestep")}
    asked = {name: getattr(config, name) for name in held} | {
        "targets": set(config.targets),
        "tokens": config.tokens or facts["tokens"],
    }
    for name, value in asked.items():
        if value != held[name]:
            text = (
                ",".join(config.targets) if name == "targets" else f"{value:g}" if isinstance(value, float) else value
            )
            raise SpadeError(
                f"--{name} {text}: the packaged adapter, from which training starts here, is another; add --init "
                "scratch."
            )
    if grids != facts["strides"]:
        raise SpadeError(
            f"the teacher's maps are of grids {grids}, the packaged adapter's of {facts['strides']}; add --init "
            "scratch."
        )
