"""Step 3: train masks, labels and relations on the calibrated features."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spade.core.checks import option_name
from spade.core.device import pick_device, pick_dtype, refuse_several
from spade.core.errors import SpadeError
from spade.core.files import read_json, sha256_file, write_bytes, write_json_lines
from spade.core.weights import load_weights
from spade.core.workspace import Artifact, keyed, verify
from spade.data.samples import annotated_ids, checked_image, readable
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import TINY, backbone_defaults, embedded_model, resolve_backbone
from spade.diffusion.features import COARSE, feature_channels, feature_strides
from spade.diffusion.student import Student, load_student
from spade.export.plots import curves_png
from spade.models.checkpoint import find_model, read_model, save_model
from spade.models.config import HeadsConfig
from spade.models.heads import Heads
from spade.models.load import load_heads
from spade.open_vocabulary.clip import load_clip
from spade.relations.config import DETAILED, FOURIER_BANDS, PAIRS, RelationHeadConfig
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.mask_proposer import MaskProposer
from spade.steps import train_boxes as train_layout
from spade.steps.common import (
    Run,
    StepResult,
    cached_result,
    choose_records,
    finished_result,
    open_dataset,
    tell_skipped,
)
from spade.steps.config import RelationsConfig
from spade.steps.fit import train
from spade.structures.vocabulary import Label, Vocabulary
from spade.training.config import Optimisation
from spade.training.relations import RelationTraining

STEP, VERSION = "train-relations", 5

SWITCHES = (
    "context",
    "attention",
    "neighbours",
    "nearness",
    "selector",
    "geometry",
    "octaves",
    "gate",
    "unions",
    "maps",
    "contrast",
    "edges",
    "look",
    "places",
)  # of the relation part


def run(config: RelationsConfig, run: Run) -> StepResult:
    """Train the heads on the newest calibration, or on labels and boxes alone. Resumes from the last checkpoint after a
    kill.
    """
    refuse_several("spade train-relations")
    if config.nodes == "layout":
        return train_layout.run(config, run)
    device = pick_device(config.device)
    calibration = run.workspace.newest("calibrate", run.source, needed_by="spade train-relations")
    assert calibration is not None
    source = calibration.manifest["result"]
    defaults = backbone_defaults(resolve_backbone(source["backbone"]))
    tiny = defaults is TINY
    images_root = config.images or (
        Path(source["images_root"]) if source["images_root"] and config.data is None else None
    )
    dataset = open_dataset(config.data or Path(source["data"]), images_root, run.report, config.strict).for_training()
    records = choose_records(dataset, "train", config.limit, with_relations=False)
    packaged, names = _packaged_names(source) if config.init == "embedded" else None, _only_names(dataset.vocabulary)
    embedded = packaged is not None and packaged[0] <= names[0] and packaged[1] <= names[1]
    config = replace(
        config,
        epochs=config.epochs or defaults.relations_epochs,
        batch_size=config.batch_size or defaults.batch_size,
        learning_rate=config.learning_rate or (1e-4 if embedded else 1e-3 if tiny else 1e-4),
        init="embedded" if embedded else "scratch",
        # What is not said is the packaged heads' own, where training starts from them.
        edges=config.edges if embedded else bool(config.edges),
        dropout=0.1 if config.dropout is None and not embedded else config.dropout,
        device=str(device),
        dtype=pick_dtype(config.dtype, device),
    )
    prints, frozen = {"data": dataset.fingerprint(records, panoptic=True)}, None
    if embedded:
        prints["start"] = sha256_file(embedded_model() / "heads.safetensors")
    if config.masks_from is not None:
        frozen = _frozen_masks(config.masks_from, calibration, dataset.vocabulary)
        prints["masks"] = sha256_file(frozen / "heads.safetensors")
    draft = run.workspace.draft(STEP, VERSION, keyed(config), {"calibrate": calibration.key}, prints, run.force)
    if draft.cached:
        return cached_result(draft, config.strict)
    verify(calibration, "run spade calibrate --force")
    usable, problems = readable(
        records, lambda r: (checked_image(dataset, r), annotated_ids(dataset, r)), run.report, "check"
    )
    usable = [record for record in usable if any(not segment.is_crowd for segment in record.segments)]
    if not usable:
        why = problems[0] if problems else str(dataset.source)
        raise SpadeError(f"{why}; not one training image is whole, so there is nothing to train on.")
    tell_skipped(problems, "pictures", run.report, config.strict)
    backbone = load_backbone(source["backbone"], device, getattr(torch, config.dtype))
    student = load_student(backbone, load_clip(source["clip"], device), calibration.path / "adapter")
    torch.manual_seed(config.seed)
    proposer = None if frozen is None else load_heads(frozen).proposer
    heads = _heads(student, dataset.vocabulary, config, tiny, run, proposer)
    if heads.relations.config.maps and not student.kind.labels:
        raise SpadeError(
            f"--maps: a student calibrated with --alignment {student.kind.alignment} is told no names; leave --maps "
            "out."
        )
    draft.begin()
    try:
        job = RelationTraining(student, heads, dataset, usable, config, 10 if tiny else 50, frozen=frozen is not None)
        parameters = job.parameters()
        options = Optimisation(
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            seed=config.seed,
            weight_decay=0.05,
            accumulate=config.accumulate,
        )
        batches = partial(job.images.batches, config.batch_size, config.seed)
        # The packaged heads as they are would pass for trained on names that only this list has.
        unready = not embedded or packaged != names
        curves, best = train(draft, run, batches, parameters, options, job.losses, job.watch, "score", unready)
        before = curves[0]
        job.fit_unseen_scorers()
        save_model(draft.path, job.model, source["backbone"], source["clip"])
        write_json_lines(draft.file("curves.jsonl"), curves)
        write_bytes(draft.file("curves.png"), curves_png(curves))
        result = {
            "data": str(dataset.source.resolve()),
            "images_root": str(dataset.root.resolve()),
            "nodes": config.nodes,
            "init": config.init,
            "mode": config.mode,
            "learned_from": len(job.images.learned),
            "watched": len(job.images.watched),
            "skipped": problems,
            "parameters": sum(p.numel() for p in parameters.values()),
            "watched_before": {name: value for name, value in before.items() if name not in ("score", "epoch")},
            "watched_after": {name: best[name] for name in before if name not in ("score", "epoch")},
            "best_epoch": int(best["epoch"]),
        }
        return finished_result(draft.finish(result))
    finally:
        draft.release()


Names = tuple[frozenset[Label], frozenset[str]]  # objects and predicates


def _only_names(vocabulary: Vocabulary) -> Names:
    return frozenset(vocabulary.objects), frozenset(vocabulary.predicates)


def _packaged_names(source: dict[str, Any]) -> Names | None:
    """What the packaged heads were trained on, if they belong to this backbone."""
    facts = embedded_model() / "model.json"
    if source["backbone"] != "tiny" or source["clip"] != "tiny" or not facts.is_file():
        return None
    return _only_names(Vocabulary.from_json(read_json(facts, "model", "install spade again.")["vocabulary"]))


def _heads(
    student: Student,
    vocabulary: Vocabulary,
    config: RelationsConfig,
    tiny: bool,
    run: Run,
    proposer: MaskProposer | None,
) -> Heads:
    """Fresh heads or the packaged ones; with a mask generator that is there already, of its width."""
    backbone = student.backbone
    width = config.width or (proposer.config.width if proposer else 64 if tiny else 256)
    levels = 0 if config.fine else -COARSE
    said = {name: value for name in SWITCHES if (value := getattr(config, name)) is not None}
    usual: dict[str, Any] = {"places": True, "octaves": FOURIER_BANDS, "neighbours": "soft"} | said
    built = HeadsConfig(
        MaskProposerConfig(
            strides=feature_strides(backbone)[levels:],
            channels=feature_channels(backbone)[levels:],
            clip_dim=student.clip.dim,
            classes=len(vocabulary.objects),
            width=width,
            queries=24 if tiny else 100,
            layers=3 if tiny else 9,
            attention=config.name_attention and student.kind.labels,
        ),
        RelationHeadConfig(
            clip_dim=student.clip.dim,
            width=width,
            layers=(3 if tiny else 8) if config.layers is None else config.layers,
            facts=DETAILED,
            dropout=config.dropout or 0.0,
            pairs=config.pairs or PAIRS,
            **usual,
        ),
        untrained=student.clip.sees_regions,
    )
    if config.init == "scratch":
        return _with(Heads(built), proposer, config)
    facts = read_json(embedded_model() / "model.json", "model", "install spade again.")
    packaged = HeadsConfig.from_json(facts["heads"])
    asked = [
        name
        for name in ("layers", *(("width",) if config.width else ()), *SWITCHES)
        if getattr(config, name) is not None
    ]
    others = [
        _told(name, value)
        for name in asked
        if (value := getattr(built.relations, name)) != getattr(packaged.relations, name)
    ]
    others += ["--no-fine"] if packaged.proposer.strides != built.proposer.strides else []
    others += ["--no-name-attention"] if packaged.proposer.attention != config.name_attention else []
    if others:
        raise SpadeError(
            f"{others[0]}: the packaged heads, from which training starts here, are others; add --init scratch."
        )
    own = packaged.relations
    relations = replace(
        own, dropout=own.dropout if config.dropout is None else config.dropout, pairs=config.pairs or own.pairs
    )
    heads = Heads(
        replace(packaged, proposer=replace(packaged.proposer, classes=built.proposer.classes), relations=relations)
    )
    load_weights(heads, embedded_model() / "heads.safetensors", "install spade again.")
    run.report.say("starting from the packaged heads (--init scratch for fresh ones)")
    return _with(heads, proposer, config)


def _with(heads: Heads, proposer: MaskProposer | None, config: RelationsConfig) -> Heads:
    """The heads on a mask generator that is there already. Raises SpadeError where its queries are of another width."""
    if proposer is None:
        return heads
    if (wanted := proposer.config.width) != heads.relations.config.width:
        if config.width:
            raise SpadeError(
                f"--width {config.width}: queries of --masks-from {config.masks_from} have {wanted} channels; leave "
                "--width out."
            )
        raise SpadeError(
            f"--masks-from {config.masks_from}: its queries have {wanted} channels, the packaged heads, from which "
            "training starts here, "
            f"{heads.relations.config.width}; add --init scratch."
        )
    heads.proposer, heads.config = proposer, replace(heads.config, proposer=proposer.config)
    return heads


def _frozen_masks(place: Path, calibration: Artifact, vocabulary: Vocabulary) -> Path:
    """The model folder whose mask generator is taken. Raises SpadeError where that was trained on other features, or on
    fewer names.
    """
    folder = find_model(place)
    for path in sorted((calibration.path / "adapter").iterdir()):
        other = folder / "adapter" / path.name
        if not other.is_file() or sha256_file(other) != sha256_file(path):
            raise SpadeError(
                f"--masks-from {place}: learned from another calibration than {calibration.key}; name its own with "
                "--from."
            )
    known = set(read_model(folder).vocabulary.objects)
    if lacking := [label.name for label in vocabulary.objects if label not in known]:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        raise SpadeError(
            f"--masks-from {place}: was not trained to name {lacking[0]!r}{more}, which the data set has; leave it out."
        )
    return folder


def _told(name: str, value: Any) -> str:
    """An option as it is written."""
    words = ",".join(value) or "none" if isinstance(value, tuple) else str(value)
    return option_name(name, value) + ("" if isinstance(value, bool) else f" {words}")
