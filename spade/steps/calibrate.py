"""Step 2: teach the UNet, through LoRA and an image adapter, to look where the teacher looked, without the caption."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.artifact import Artifact, ArtifactWriter, keyed, verify
from spade.core.device import device_name, dtype_name, refuse_several
from spade.core.errors import SpadeError, given
from spade.core.files import read_json
from spade.core.hub import fingerprint
from spade.core.settings import configure
from spade.data.readers import load_dataset
from spade.data.split_lists import split_kept
from spade.diffusion.backbone_files import BackboneDefaults, backbone_defaults, embedded_model, resolve_backbone
from spade.diffusion.config import PAPER_CALIBRATION, CalibrationConfig
from spade.models.checkpoint import packaged_open, read_image_model
from spade.open_vocabulary.clip_files import resolve_clip
from spade.steps.common import Run, StepResult, cached_result, finished_result, kept_from_training
from spade.steps.config import CalibrateConfig
from spade.steps.results import CalibrateResult, InvertResult
from spade.steps.threads import settle_threads
from spade.training.config import Schedule, calibration_schedule

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.training.calibration import CalibrationTargets

STEP, VERSION = "calibrate", 2


def run(config: CalibrateConfig, run: Run) -> StepResult[CalibrateResult]:
    """Calibrate on the newest inversion, or find it done. Resumes from the last checkpoint after a kill."""
    refuse_several("spade calibrate")
    teacher = run.workspace.need("invert", "spade calibrate", run.source)
    source = InvertResult.of(teacher)
    grids = teacher_grids(teacher)
    is_packaged = source.backbone == "tiny" and source.clip == "tiny"
    wanted = config.init or ("embedded" if config.preset == "default" else "scratch")
    shown = _packaged_names_called_novel(source) if is_packaged else ()
    if shown and config.init == "embedded":
        raise SpadeError(
            f"{given('init', 'embedded')}: the packaged adapter has seen {shown[0]!r}, which the inversion's split "
            f"keeps from training; leave it out or use {given('init', 'scratch')}."
        )
    if config.init == "embedded" and not is_packaged:
        other = source.backbone if source.backbone != "tiny" else source.clip
        raise SpadeError(
            f"{given('init', 'embedded')}: the packaged adapter belongs to the tiny backbone and its OpenCLIP model, "
            f"and the inversion is of {other}; leave it out or use {given('init', 'scratch')}."
        )
    embedded = wanted == "embedded" and is_packaged and not shown
    if wanted == "embedded" and shown:
        run.report.say(f"starting from a fresh adapter: the packaged one has seen {shown[0]!r}")
    defaults = backbone_defaults(resolve_backbone(source.backbone))
    calibration, schedule = _method(config, defaults, embedded)
    device = device_name(config.device)
    dtype = "float32" if calibration.train == "full" else dtype_name(config.dtype, device)
    config = replace(config, init="embedded" if embedded else "scratch", device=device, dtype=dtype)
    prints = {}
    if embedded:
        _refuse_other_than_packaged(calibration, grids)
        prints["start"] = fingerprint(embedded_model() / "adapter")
    key = keyed(config) | {"calibration": keyed(calibration), "schedule": keyed(schedule)}
    writer = run.workspace.writer(STEP, VERSION, key, {"invert": teacher.key}, prints, run.force)
    if writer.cached:
        return cached_result(CalibrateResult, writer)
    verify(teacher, "run spade invert with `force`")
    for part, place in (("backbone", resolve_backbone(source.backbone)), ("clip", resolve_clip(source.clip))):
        if fingerprint(place) != teacher.manifest["fingerprints"][part]:
            raise SpadeError(f"{place}: this {part} changed since it gave the teacher maps; run spade invert again.")
    run.report.detail(f"teacher maps: {teacher.path}")
    return _calibrate(config, calibration, schedule, teacher, source, writer, run)


def _packaged_names_called_novel(source: InvertResult) -> tuple[str, ...]:
    """Names that the packaged adapter was trained on, those of the open model, and that an inversion's split keeps from
    training.
    """
    split = split_kept(source.split)
    return () if split is None else split.shown_to(read_image_model(packaged_open()).vocabulary)


def _method(config: CalibrateConfig, defaults: BackboneDefaults, embedded: bool) -> tuple[CalibrationConfig, Schedule]:
    """What is calibrated and on which schedule, with every default resolved."""
    preset = PAPER_CALIBRATION if config.preset == "paper" else {}
    base = CalibrationConfig()
    names = {name: value for name, value in config.settings.items() if hasattr(base, name)}
    calibration = configure({"calibration": base}, preset, names)["calibration"]
    calibration = replace(calibration, alpha=calibration.scale)
    usual = calibration_schedule(defaults, calibration.train, embedded, config.seed)
    rest = {name: value for name, value in config.settings.items() if name not in names}
    return calibration, configure({"schedule": usual}, {}, rest)["schedule"]


def teacher_grids(teacher: Artifact) -> tuple[int, ...]:
    """Strides of the grids that an inversion's maps were read on."""
    config = teacher.manifest["config"]
    return tuple(config.get("inversion", config)["grids"])


def _calibrate(
    config: CalibrateConfig,
    calibration: CalibrationConfig,
    schedule: Schedule,
    teacher: Artifact,
    source: InvertResult,
    writer: ArtifactWriter,
    run: Run,
) -> StepResult[CalibrateResult]:
    from functools import partial

    import torch

    from spade.core.device import open_device, open_dtype
    from spade.diffusion.backbone import load_backbone
    from spade.open_vocabulary.clip import load_clip
    from spade.steps.fit import fit_artifact
    from spade.training.calibration import Calibration
    from spade.training.start_student import reached, start_student

    dataset, records = inverted_records(teacher)
    targets = calibration_targets(teacher, calibration)
    device = open_device(config.device)
    settle_threads(source.backbone)
    backbone = load_backbone(source.backbone, device, open_dtype(config.dtype, device))
    torch.manual_seed(config.seed)
    student, parameters = start_student(
        calibration, teacher_grids(teacher), backbone, load_clip(source.clip, device), config.init == "embedded"
    )
    if config.init == "embedded":
        run.report.say(f"starting from the packaged adapter ({given('init', 'scratch')} for a fresh one)")
    writer.begin()
    try:
        training = Calibration(student, dataset, records, targets, calibration.counterfactual)
        batches = partial(training.images.batches, schedule.batch_size, config.seed)
        parameters = reached(parameters, training, batches(0)[0], config.seed)
        before, best = fit_artifact(
            writer, run, batches, parameters, schedule, training.losses, training.validate, "minus_loss"
        )
        student.save(writer.file("adapter"))
        result = CalibrateResult(
            data=source.data,
            images_root=source.images_root,
            backbone=source.backbone,
            clip=source.clip,
            init=str(config.init),
            train=calibration.train,
            alignment=calibration.alignment,
            train_images=len(training.images.train),
            validation_images=len(training.images.validation),
            parameters=sum(p.numel() for p in parameters.values()),
            best_epoch=int(best["epoch"]),
            loss_before=-before["minus_loss"],
            loss_after=-best["minus_loss"],
            pointing_before=before.get(training.pointing),
            pointing_after=best.get(training.pointing),
            oracle=calibration.alignment != "vocabulary",
            chance=before.get("chance"),
            split=source.split,
        )
        return finished_result(CalibrateResult, writer.finish(result.to_json()))
    finally:
        writer.release()


def inverted_records(teacher: Artifact) -> tuple[Dataset, list[Record]]:
    """The data set that was inverted and its records in the order of the index. Raises SpadeError if it changed
    since.
    """
    from spade.diffusion.teacher_maps import image_ids

    source = InvertResult.of(teacher)
    root = Path(source.images_root) if source.images_root else None
    dataset, _ = kept_from_training(load_dataset(Path(source.data), root), split_kept(source.split))
    config = teacher.manifest["config"]
    all_records = [r for r in dataset.split(config["split"]) if r.training_triples()][: config["limit"]]
    prints = (dataset.fingerprint(all_records), dataset.fingerprint_by_size(all_records))
    if teacher.manifest["fingerprints"]["data"] not in prints:
        raise SpadeError(f"{dataset.source}: the data set changed since it was inverted; run spade invert again.")
    by_id = {record.image_id: record for record in all_records}
    return dataset, [by_id[image_id] for image_id in image_ids(teacher)]


def calibration_targets(
    teacher: Artifact, calibration: CalibrationConfig, only: Collection[str] | None = None
) -> dict[str, CalibrationTargets]:
    """image_id -> what its maps are compared with. Raises SpadeError where the inversion has not kept what is
    needed.
    """
    from spade.diffusion.teacher_maps import read_teacher_maps
    from spade.training.calibration import CalibrationTargets

    by_index, hinge = calibration.alignment == "index", calibration.counterfactual > 0
    maps = read_teacher_maps(teacher, by_index, hinge, only)
    targets = {image_maps.image_id: CalibrationTargets.of(image_maps) for image_maps in maps}
    if by_index and not all(len(image_maps.tokens) for image_maps in targets.values()):
        raise SpadeError(
            f"{teacher.path}: holds maps of labels only; for {given('alignment', 'index')} run spade invert with "
            f"{given('keep', 'tokens')}."
        )
    if hinge and not any(image_maps.wrong for image_maps in targets.values()):
        raise SpadeError(
            f"{teacher.path}: holds no maps of wrong prompts; for {given('counterfactual')} run spade invert with "
            f"{given('counterfactual', 3)}."
        )
    return targets


def _refuse_other_than_packaged(calibration: CalibrationConfig, grids: tuple[int, ...]) -> None:
    """Raise SpadeError where settings ask for another student than the packaged one, which training would start
    from.
    """
    folder, usual = embedded_model() / "adapter", CalibrationConfig()
    lora, facts = (
        read_json(folder / name, "adapter", "install spade again.") for name in ("adapter_config.json", "adapter.json")
    )
    held = {
        "rank": lora["r"],
        "alpha": float(lora["r"] if lora["lora_alpha"] is None else lora["lora_alpha"]),
        "targets": set(usual.targets),
        **{name: facts[name] for name in ("tokens", "train", "alignment", "timestep")},
    }
    wanted = {
        "rank": calibration.rank,
        "alpha": calibration.scale,
        "targets": set(calibration.targets),
        "tokens": calibration.tokens or facts["tokens"],
        **{name: getattr(calibration, name) for name in ("train", "alignment", "timestep")},
    }
    for name, value in wanted.items():
        if value != held[name]:
            shown = calibration.targets if name == "targets" else f"{value:g}" if isinstance(value, float) else value
            raise SpadeError(
                f"{given(name, shown)}: the packaged adapter, from which training starts here, is another; add "
                f"{given('init', 'scratch')}."
            )
    if grids != tuple(facts["strides"]):
        raise SpadeError(
            f"the teacher's maps are of grids {list(grids)}, the packaged adapter's of {facts['strides']}; add "
            f"{given('init', 'scratch')}."
        )
