"""Step 3: train masks, labels and relations on the calibrated features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spade.config import RelationsConfig
from spade.data.images import read_image
from spade.data.psg import Dataset, Record
from spade.device import pick_device, pick_dtype
from spade.diffusion.backbone import TINY, embedded_model, load_backbone, preset, resolve_backbone
from spade.diffusion.features import feature_channels, feature_strides
from spade.diffusion.student import Sight, Student, load_student
from spade.distributed import refuse_several
from spade.errors import SpadeError
from spade.evaluation.evaluator import Evaluator
from spade.evaluation.predictions import from_prediction
from spade.export.plots import curves_png
from spade.files import read_json, sha256_file, write_bytes, write_json, write_json_lines
from spade.loading import MODEL_FORMAT
from spade.model import Model
from spade.open_vocabulary import load_clip
from spade.relations.losses import Imbalance, Truth, stage2_losses
from spade.relations.model import Heads, HeadsConfig, RelationConfig
from spade.segmentation.mask_generator import mask_loss
from spade.segmentation.proposer import ProposerConfig
from spade.steps.common import Memo, Run, StepResult, already_there, choose_records, just_made, open_dataset, tell_skipped
from spade.steps.learning import TrainingImages, train
from spade.steps.pictures import readable, sized_picture, true_map, true_numbers
from spade.training import Optimisation, Row
from spade.vocabulary import Vocabulary
from spade.weights import load_weights, to_bytes
from spade.workspace import keyed, verify

STEP, VERSION = "train-relations", 2


def run(config: RelationsConfig, run: Run) -> StepResult:
    """Train the heads on the newest calibration, or find it done. Resumes from the last checkpoint after a kill."""
    refuse_several("spade train-relations")
    device = pick_device(config.device)
    calibration = run.workspace.newest("calibrate", run.source, needed_by="spade train-relations")
    assert calibration is not None
    source = calibration.manifest["result"]
    defaults = preset(resolve_backbone(source["backbone"]))
    tiny = defaults is TINY
    images_root = config.images or (Path(source["images_root"]) if source["images_root"] and config.data is None else None)
    dataset = open_dataset(config.data or Path(source["data"]), images_root, run.report, config.strict).for_training()
    records = choose_records(dataset, "train", config.limit, with_relations=False)
    embedded = config.init == "embedded" and _packaged_fits(source, dataset.vocabulary)
    config = replace(
        config,
        epochs=config.epochs or defaults.relations_epochs,
        batch_size=config.batch_size or defaults.batch_size,
        learning_rate=config.learning_rate or (1e-4 if embedded else 1e-3 if tiny else 1e-4),
        init="embedded" if embedded else "scratch",
        device=str(device),
        dtype=pick_dtype(config.dtype, device),
    )
    prints = {"data": dataset.fingerprint(records, panoptic=True)}
    if embedded:
        prints["start"] = sha256_file(embedded_model() / "heads.safetensors")
    draft = run.workspace.draft(STEP, VERSION, keyed(config), {"calibrate": calibration.key}, prints, run.force)
    if draft.cached:
        return already_there(draft, config.strict)
    verify(calibration, "run spade calibrate --force")
    usable, problems = readable(records, lambda r: (sized_picture(dataset, r), true_map(dataset, r)), run.report, "check")
    usable = [record for record in usable if any(not segment.is_crowd for segment in record.segments)]
    if not usable:
        why = problems[0] if problems else str(dataset.source)
        raise SpadeError(f"{why}; not one training image is whole, so there is nothing to train on.")
    tell_skipped(problems, "pictures", run.report, config.strict)
    backbone = load_backbone(source["backbone"], device, getattr(torch, config.dtype))
    student = load_student(backbone, load_clip(source["clip"], device), calibration.path / "adapter")
    torch.manual_seed(config.seed)
    heads = _heads(student, dataset.vocabulary, config, run).to(device)
    draft.begin()
    try:
        job = _Job(student, heads, dataset, usable, config, 10 if tiny else 50)
        parameters = dict(heads.named_parameters())
        options = Optimisation(
            epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed, weight_decay=0.05, accumulate=config.accumulate
        )
        batch_size = config.batch_size
        curves, best = train(draft, run, job.images, batch_size, parameters, options, job.losses, job.watch, "score")
        before = curves[0]
        save_model(draft.path, job.model, source["backbone"], source["clip"])
        write_json_lines(draft.file("curves.jsonl"), curves)
        write_bytes(draft.file("curves.png"), curves_png(curves))
        result = {
            "data": str(dataset.source.resolve()),
            "images_root": str(dataset.root.resolve()),
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
        return just_made(draft.finish(result))
    finally:
        draft.release()


def _packaged_fits(source: dict[str, Any], vocabulary: Vocabulary) -> bool:
    """Whether the packaged heads belong to this backbone and were trained on a part of this very label list."""
    facts = embedded_model() / "model.json"
    if source["backbone"] != "tiny" or source["clip"] != "tiny" or not facts.is_file():
        return False
    packaged = Vocabulary.from_json(read_json(facts, "model", "install spade again.")["vocabulary"])
    return set(packaged.objects) <= set(vocabulary.objects) and set(packaged.predicates) <= set(vocabulary.predicates)


def _heads(student: Student, vocabulary: Vocabulary, config: RelationsConfig, run: Run) -> Heads:
    backbone = student.backbone
    tiny = backbone.image_size <= 128
    width = 64 if tiny else 256
    built = HeadsConfig(
        ProposerConfig(
            strides=feature_strides(backbone),
            channels=feature_channels(backbone),
            clip_dim=student.clip.dim,
            classes=len(vocabulary.objects),
            width=width,
            queries=24 if tiny else 100,
            layers=3 if tiny else 9,
        ),
        RelationConfig(
            clip_dim=student.clip.dim,
            width=width,
            layers=config.layers or (3 if tiny else 8),
            **{name: getattr(config, name) for name in ("context", "attention", "neighbours", "selector", "geometry")},
        ),
    )
    if config.init == "scratch":
        return Heads(built)
    facts = read_json(embedded_model() / "model.json", "model", "install spade again.")
    packaged = HeadsConfig.from_json(facts["heads"])
    for name, value in vars(built.relations).items():
        if value != getattr(packaged.relations, name):
            raise SpadeError(
                f"--{name} {_told(value)}: the packaged heads, from which training starts here, are others; add --init scratch."
            )
    heads = Heads(replace(packaged, proposer=replace(packaged.proposer, classes=built.proposer.classes)))
    load_weights(heads, embedded_model() / "heads.safetensors", "install spade again.")
    run.report.say("starting from the packaged heads (--init scratch for fresh ones)")
    return heads


def _told(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def save_model(folder: Path, model: Model, backbone: str, clip: str) -> None:
    """Write a model folder that ``spade.load`` reads: adapter, heads, and last model.json."""
    model.student.save(folder / "adapter")
    write_bytes(folder / "heads.safetensors", to_bytes(model.heads.state_dict()))
    facts = {
        "format": MODEL_FORMAT,
        "backbone": backbone,
        "clip": clip,
        "heads": model.heads.config.to_json(),
        "vocabulary": model.vocabulary.to_json(),
        "fusion": model.fusion,
    }
    write_json(folder / "model.json", facts)


@dataclass(frozen=True)
class _Seen:
    """What the student sees of a record, and its annotation at the size at which it is seen."""

    sight: Sight
    masks: Tensor  # (N, H, W) bool
    classes: Tensor
    triples: Tensor

    @property
    def bytes(self) -> int:
        return self.sight.bytes + self.masks.numel()


class _Job:
    """The data of one training: features, truths, losses, and the watched images."""

    def __init__(
        self, student: Student, heads: Heads, dataset: Dataset, records: Sequence[Record], config: RelationsConfig, watch_at: int
    ) -> None:
        self.student, self.heads, self.dataset, self.watch_at = student, heads, dataset, watch_at
        self.given = config.mode == "predcls"
        self.weights = {
            "mask": config.mask_weight, "rel": config.relation_weight, "pair": config.pair_weight, "rqc": config.rqc_weight
        }  # fmt: skip
        self.images = TrainingImages(student, records)
        vocabulary = dataset.vocabulary
        self.labels = student.label_context(vocabulary)
        self.objects = student.clip.embed_labels(vocabulary.objects)
        self.predicates = student.clip.embed_predicates(vocabulary.predicates)
        self.model = Model(student, heads, vocabulary, {}, config.fusion)
        learned = [self.images.records[i] for i in self.images.learned]
        told = torch.tensor([p for record in learned for _, _, p in record.training_triples()], dtype=torch.int64)
        counts = torch.bincount(told, minlength=len(dataset.predicates)).to(student.backbone.device)
        self.imbalance = Imbalance.of(config.imbalance, counts, config.imbalance_strength)
        self.criterion = mask_loss(heads.proposer.decoder_config).to(student.backbone.device)
        self._seen: Memo[_Seen] = Memo(self._look, lambda seen: seen.bytes)

    def _look(self, index: int) -> _Seen:
        record = self.images.records[index]
        image = read_image(self.dataset.image_path(record))
        sight = self.student.see(self.student.observe(image), self.labels, len(self.objects))
        masks, classes, triples = annotation(record, true_map(self.dataset, record), self.images.size(index))
        return _Seen(sight, masks, classes, triples)

    def losses(self, batch: Sequence[int]) -> dict[str, Tensor]:
        """Stage 2's terms for a batch of learned images."""
        self.heads.train()
        seen = [self._seen[i] for i in batch]
        device = self.objects.device
        features = [torch.cat(level).to(device) for level in zip(*(s.sight.features for s in seen), strict=True)]
        maps = [s.sight.attention for s in seen if s.sight.attention is not None]
        attention = torch.cat(maps).to(device) if maps else None
        truths = [Truth(s.masks.float().to(device), s.classes.to(device), s.triples.to(device)) for s in seen]
        return stage2_losses(
            self.heads, self.criterion, features, attention, truths, self.objects, self.predicates, self.weights, self.imbalance
        )

    def watch(self) -> Row:
        """R@K, mR@K and PQ on the watched images; ``score`` = R@K + mR@K chooses the best epoch."""
        self.heads.eval()
        dataset = self.dataset
        evaluator = Evaluator(dataset, at=(self.watch_at,))
        for index in self.images.watched:
            record = self.images.records[index]
            if self.given:
                categories = [segment.category for segment in record.segments]
                prediction = self.model.predict_given(dataset.image_path(record), true_numbers(dataset, record), categories)
            else:
                prediction = self.model.predict(dataset.image_path(record))
            evaluator.add(record, true_map(dataset, record), from_prediction(record.image_id, prediction))
        figures = evaluator.figures()
        names = (f"R@{self.watch_at}", f"mR@{self.watch_at}", "PQ")
        row = {name: float(figures[name] or 0.0) for name in names}
        # PQ breaks ties, and leads while no relation is found yet.
        return row | {"score": row[names[0]] + row[names[1]] + 0.01 * row["PQ"]}


def annotation(record: Record, ids: np.ndarray, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Masks (N, H, W) bool at ``size`` (width, height), classes (N,), triples (R, 3) of a record.

    Crowds are left out, and so are segments without a pixel at that size, with their relations.
    """
    width, height = size
    rows = (np.arange(height) * ids.shape[0] + ids.shape[0] // 2) // height
    columns = (np.arange(width) * ids.shape[1] + ids.shape[1] // 2) // width
    small = ids[np.minimum(rows, ids.shape[0] - 1)][:, np.minimum(columns, ids.shape[1] - 1)]
    masks: list[np.ndarray] = []
    classes: list[int] = []
    place: dict[int, int] = {}
    for index, segment in enumerate(record.segments):
        mask = small == segment.id
        if segment.is_crowd or not mask.any():
            continue
        place[index] = len(masks)
        masks.append(mask)
        classes.append(segment.category)
    triples = [(place[s], place[o], p) for s, o, p in record.training_triples() if s in place and o in place]
    stacked = torch.from_numpy(np.stack(masks)) if masks else torch.zeros((0, height, width), dtype=torch.bool)
    return stacked, torch.tensor(classes, dtype=torch.int64), torch.tensor(triples, dtype=torch.int64).reshape(-1, 3)
