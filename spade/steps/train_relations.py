"""Step 3: train masks, labels and relations on the calibrated features."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spade.core.artifact import Artifact, ArtifactWriter, keyed, verify
from spade.core.device import device_name, dtype_name, refuse_several
from spade.core.errors import SpadeError, given
from spade.core.files import sha256_file
from spade.data.split_lists import SplitList, as_kept, own_split, read_split, split_kept
from spade.diffusion.backbone_files import backbone_defaults, resolve_backbone
from spade.models.checkpoint import HEADS, ModelFile, find_model, read_image_model
from spade.steps.common import (
    Run,
    StepResult,
    cached_result,
    choose_records,
    finished_result,
    kept_from_training,
    open_dataset,
    report_skipped,
)
from spade.steps.config import TrainRelationsConfig
from spade.steps.packaged_heads import names_of, packaged_heads
from spade.steps.relation_method import Method, resolve
from spade.steps.results import CalibrateResult, TrainRelationsResult
from spade.steps.threads import settle_threads
from spade.structures.vocabulary import Vocabulary
from spade.training.mirroring import told_by_side, unmirrored

if TYPE_CHECKING:
    from spade.data.psg import Dataset, Record
    from spade.diffusion.student import Student
    from spade.models.heads import Heads

STEP, VERSION = "train-relations", 8


@dataclass(frozen=True)
class _Features:
    """On what heads are trained: a calibration's adapter, or that of a model whose masks are taken, too."""

    adapter: Path
    backbone: str
    clip: str
    calibration: Artifact | None
    masks: ModelFile | None

    @classmethod
    def of(cls, config: TrainRelationsConfig, run: Run) -> _Features:
        """The newest calibration's, or those of ``masks_from``, which has its own adapter."""
        if config.masks_from is None:
            calibration = run.workspace.need("calibrate", "spade train-relations", run.source)
            source = CalibrateResult.of(calibration)
            return cls(calibration.path / "adapter", source.backbone, source.clip, calibration, None)
        if run.source is not None:
            raise SpadeError(
                f"{given('source', run.source)}: {given('masks_from')} brings its own calibration; leave one of the "
                "two out."
            )
        model = read_image_model(find_model(config.masks_from))
        return cls(model.adapter, model.backbone, model.clip, None, model)

    def inputs(self) -> dict[str, str]:
        """Keys of the artifacts that they come from."""
        return {} if self.calibration is None else {"calibrate": self.calibration.key}


def run(config: TrainRelationsConfig, run: Run) -> StepResult[TrainRelationsResult]:
    """Train the heads on the newest calibration, or find it done. Resumes from the last checkpoint after a kill."""
    refuse_several("spade train-relations")
    features = _Features.of(config, run)
    whole = _dataset(config, features, run)
    split = _split(config, features, whole)
    dataset, kept = kept_from_training(whole, split)
    records = choose_records(dataset, "train", config.limit, with_relations=False)
    packaged = packaged_heads(config, (features.backbone, features.clip), dataset, split is not None, run.report)
    if features.masks is not None:
        _refuse_unnamed(config.masks_from, features.masks, dataset)
    defaults, one_sided = backbone_defaults(resolve_backbone(features.backbone)), told_by_side(dataset.vocabulary)
    method = resolve(config, defaults, packaged, features.masks, not one_sided)
    if one_sided and not method.masks.mirrored:
        run.report.say(unmirrored(one_sided))
    device = device_name(config.device)
    init = "scratch" if packaged is None else "embedded"
    config = replace(config, init=init, device=device, dtype=dtype_name(config.dtype, device))
    prints = {"data": dataset.fingerprint(records, panoptic=True, report=run.report)}
    prints |= {} if packaged is None else {"start": sha256_file(packaged.folder / HEADS)}
    prints |= {} if features.masks is None else {"masks": features.masks.fingerprint()}
    key = keyed(config) | kept | {part.name: keyed(getattr(method, part.name)) for part in fields(method)}
    writer = run.workspace.writer(STEP, VERSION, key, features.inputs(), prints, run.force)
    if writer.cached:
        writer.refresh(split=as_kept(split))
        return cached_result(TrainRelationsResult, writer, config.strict)
    if features.calibration is not None:
        verify(features.calibration, "run spade calibrate with `force`")
    return _train(config, method, packaged, features, dataset, records, split, writer, run)


def _split(config: TrainRelationsConfig, features: _Features, dataset: Dataset) -> SplitList | None:
    """The calibration's, which another one contradicts; with masks of another model the named one, or the data set's
    own.
    """
    split = None if config.split_list is None else read_split(config.split_list, dataset)
    if features.calibration is not None:
        inherited = split_kept(CalibrateResult.of(features.calibration).split)
        if split is not None and (inherited is None or inherited.sha256 != split.sha256):
            learned = "no split" if inherited is None else f"the split {inherited.name}"
            raise SpadeError(
                f"{given('split_list', config.split_list)}: {features.calibration.path} was calibrated by {learned}; "
                "leave it out, or begin with spade invert."
            )
        own = own_split(dataset)
        if inherited is None and own is not None and "split" in features.calibration.manifest["result"]:
            raise SpadeError(
                f"{dataset.opened_as}: keeps {min(own.names)!r} from training, and {features.calibration.path} was "
                "calibrated on it; begin with spade invert on this data set."
            )
        return inherited or own
    split = split or own_split(dataset)
    shown = () if split is None or features.masks is None else split.shown_to(features.masks.vocabulary)
    if split is not None and shown:
        raise SpadeError(
            f"{given('masks_from', config.masks_from)}: was trained on {shown[0]!r}, which the split {split.name} "
            "keeps from training; take masks that were trained by the same split."
        )
    return split


def _dataset(config: TrainRelationsConfig, features: _Features, run: Run) -> Dataset:
    """The named data set, or the one that was inverted."""
    root, data = config.images, config.data
    if data is None:
        calibration = features.calibration or run.workspace.newest("calibrate")
        if calibration is None:
            raise SpadeError(
                "no data set named and nothing calibrated in this workspace; name one, for example data/psg."
            )
        source = CalibrateResult.of(calibration)
        data = Path(source.data)
        root = root or (Path(source.images_root) if source.images_root else None)
    return open_dataset(data, root, run.report, config.strict)


def _train(
    config: TrainRelationsConfig,
    method: Method,
    packaged: ModelFile | None,
    features: _Features,
    dataset: Dataset,
    records: list[Record],
    split: SplitList | None,
    writer: ArtifactWriter,
    run: Run,
) -> StepResult[TrainRelationsResult]:
    from functools import partial

    import torch

    from spade.core.device import open_device, open_dtype
    from spade.data.samples import annotated_regions, checked_image, readable
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.student import load_student
    from spade.models.checkpoint import save_model
    from spade.open_vocabulary.clip import load_clip
    from spade.steps.fit import fit_artifact
    from spade.training.relations import RelationTraining

    usable, problems = readable(
        records, lambda r: (checked_image(dataset, r), annotated_regions(dataset, r)), run.report, "check"
    )
    usable = [record for record in usable if any(not segment.is_crowd for segment in record.segments)]
    if not usable:
        why = problems[0] if problems else str(dataset.source)
        raise SpadeError(f"{why}; not one training image is whole, so there is nothing to train on.")
    report_skipped(problems, "images", run.report, config.strict)
    device = open_device(config.device)
    settle_threads(features.backbone)
    backbone = load_backbone(features.backbone, device, open_dtype(config.dtype, device))
    student = load_student(backbone, load_clip(features.clip, device), features.adapter)
    torch.manual_seed(config.seed)
    method = replace(method, proposer=replace(method.proposer, boxes=not dataset.has_masks))
    heads = _heads(method, student, dataset.vocabulary, packaged, features.masks)
    if packaged is not None:
        name = packaged.folder.name
        run.report.say(f"starting from the packaged heads of {name} ({given('init', 'scratch')} for fresh ones)")
    defaults = backbone_defaults(resolve_backbone(features.backbone))
    writer.begin()
    try:
        training = RelationTraining(
            student,
            heads,
            dataset,
            usable,
            method.losses,
            method.masks,
            defaults.validate_at,
            config.mode,
            method.fusion.fusion,
            features.masks is not None,
        )
        parameters = training.parameters()
        batches = partial(training.images.batches, method.schedule.batch_size, config.seed)
        # The packaged heads as they are would pass for trained on names that only this list has.
        unready = packaged is None or names_of(packaged.vocabulary) != names_of(dataset.vocabulary)
        before, best = fit_artifact(
            writer, run, batches, parameters, method.schedule, training.losses, training.validate, "score", unready
        )
        training.fit_unseen_scorers(run.report)
        save_model(writer.path, training.model, features.backbone, features.clip)
        shown = [name for name in before if name not in ("score", "epoch")]
        result = TrainRelationsResult(
            data=str(dataset.opened_as.resolve()),
            images_root=str(dataset.root.resolve()),
            init=str(config.init) if packaged is None else f"{config.init}: {packaged.folder.name}",
            mode=config.mode,
            train_images=len(training.images.train),
            validation_images=len(training.images.validation),
            skipped=problems,
            parameters=sum(p.numel() for p in parameters.values()),
            validation_before={name: before[name] for name in shown},
            validation_after={name: best[name] for name in shown},
            best_epoch=int(best["epoch"]),
            split=as_kept(split),
        )
        return finished_result(TrainRelationsResult, writer.finish(result.to_json()))
    finally:
        writer.release()


def _heads(
    method: Method,
    student: Student,
    vocabulary: Vocabulary,
    packaged: ModelFile | None,
    frozen: ModelFile | None,
) -> Heads:
    """Fresh heads or the packaged ones; with a mask proposer that is there already, of its width."""
    from spade.models.build import build_heads, heads_of, with_proposer

    proposer = None if frozen is None else heads_of(frozen).proposer
    classes = len(vocabulary.objects)
    if packaged is None:
        return build_heads(method.heads, student, classes, proposer)
    heads = heads_of(packaged, classes, method.relations)
    return heads if proposer is None else with_proposer(heads, proposer)


def _refuse_unnamed(place: Path | None, model: ModelFile, dataset: Dataset) -> None:
    """Raise SpadeError for a mask proposer that learned fewer names than the data set has, or finds the other kind of
    segments.
    """
    if model.heads.proposer.boxes == dataset.has_masks:
        kinds = ("masks", "boxes") if dataset.has_masks else ("boxes", "masks")
        raise SpadeError(
            f"{given('masks_from', place)}: finds {kinds[1]}, and {dataset.source} has {kinds[0]}; leave it out."
        )
    vocabulary = dataset.vocabulary
    known = set(model.vocabulary.objects)
    if lacking := [label.name for label in vocabulary.objects if label not in known]:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        raise SpadeError(
            f"{given('masks_from', place)}: was not trained to name "
            f"{lacking[0]!r}{more}, which the data set has; leave it out."
        )
