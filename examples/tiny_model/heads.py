"""Train the tiny model's masks and relations on scenes that are made as it goes, each seen once.

In legs: ``--until`` ends after an epoch, and the same command goes on; where the state is lost, ``--start`` begins from
heads that are there, with a fresh optimiser.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from common import VALIDATION_SEED, arguments, train_part
from PIL import Image
from stream import Packed, Stream, dataset_of, opened_student, record_of

from spade.core.weights import load_weights
from spade.core.workspace import Workspace
from spade.data.psg import Dataset
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import TINY
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.models.build import build_heads
from spade.models.checkpoint import HEADS, save_model
from spade.models.config import HeadsConfig
from spade.models.predictor import SceneGraphPredictor
from spade.relations.config import RelationHeadConfig
from spade.segmentation.config import MaskProposerConfig
from spade.segmentation.losses import mask_loss
from spade.steps import world
from spade.steps.common import Run
from spade.training.config import RelationLossConfig
from spade.training.joint_losses import stage2_losses
from spade.training.loop import Row
from spade.training.unseen_scorers import fit_unseen_scorers
from spade.world.annotation import make_sample
from spade.world.dataset import novel_names, trained

BATCH, AT = 8, 20
TRAIN_SEED = 8_000  # of the scenes that heads learn from
WORLD_SEED = 3_000  # of the scenes on which the scorers of unseen names are fitted


def main() -> None:
    """Train, fit the scorers of unseen names, write a model folder."""
    base = "base names alone, those that the setting ovdr shows: tiny-open"
    alone = "base names alone, and no scene in which a novel thing stands: to compare with, not packaged"
    options = arguments(__doc__ or "", epochs=13, samples=8000, add=_more, open=base, inductive=alone)
    parts = options.parts or options.output
    setting, name = ("ovdr", "tiny-open") if options.open or options.inductive else ("closed", "tiny")
    name = "tiny-inductive" if options.inductive else name
    torch.set_num_threads(1)  # the other core makes scenes
    torch.manual_seed(options.seed)
    student, dataset = opened_student(parts), dataset_of(setting)
    vocabulary = dataset.vocabulary
    relations = RelationHeadConfig(**TINY.relation_head)
    config = HeadsConfig(MaskProposerConfig(**TINY.mask_proposer, width=relations.width), relations)
    heads = build_heads(config, student, len(vocabulary.objects))
    if options.start is not None:
        load_weights(heads, options.start / HEADS, "name a model folder")
    texts = student.clip.embed_labels(vocabulary.objects), student.clip.embed_predicates(vocabulary.predicates)
    criterion, stream = (
        mask_loss(heads.proposer.decoder_config),
        Stream(parts, setting, options.seed + TRAIN_SEED, options.inductive),
    )
    weights = {"mask": 1.0, **RelationLossConfig().weights}

    def losses(numbers: list[int]) -> dict[str, torch.Tensor]:
        heads.train()
        scenes = [stream[number] for number in numbers]
        found = (torch.rand(len(scenes)) < 0.5).tolist()
        return stage2_losses(
            *(heads, criterion, _levels(scenes), _stacked([scene.attention for scene in scenes])),
            *([scene.truth() for scene in scenes], *texts, weights),
            on_found_masks=found,
        )

    model = SceneGraphPredictor(student, heads, vocabulary, {})
    train_part(
        *(
            options,
            name,
            heads,
            BATCH,
            losses,
            partial(_validate, model, dataset, setting, options.validation),
            "score",
        ),
        learning_rate=options.rate,
        weight_decay=0.05,
        ema_decay=0.999,
    )
    stream.close()
    data = options.output / f"world-{setting}"
    world.run(
        data, options.fitted, (128, 128), WORLD_SEED, Run(Workspace(options.output / "workspace")), setting=setting
    )
    fitted = load_psg(data).for_training()
    novel, _ = novel_names(setting)
    records = fitted.split("train")
    if options.inductive:
        records = [r for r in records if novel.isdisjoint(make_sample(WORLD_SEED, int(r.image_id)).labels)]
    fit_unseen_scorers(heads, student, student.label_context(vocabulary), texts, fitted, records)
    save_model(options.output / name, model, "tiny", "tiny")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", type=Path, help="folder with backbone, clip, adapter (default: the output folder)")
    parser.add_argument("--start", type=Path, help="model folder whose heads training starts from")
    parser.add_argument("--validation", type=int, default=100, help="scenes that an epoch is validated on")
    parser.add_argument("--fitted", type=int, default=500, help="scenes, four fifths of which scorers are fitted on")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")


def _levels(scenes: list[Packed]) -> list[torch.Tensor]:
    return [_stacked(list(level)) for level in zip(*(scene.features for scene in scenes), strict=True)]


def _stacked(arrays: list) -> torch.Tensor:
    return torch.stack([torch.from_numpy(array) for array in arrays]).float()


def _validate(model: SceneGraphPredictor, dataset: Dataset, setting: str, count: int) -> Row:
    """On scenes of their own, annotated as training is: found segments, and relations of given ones."""
    model.heads.eval()
    found, given = Evaluator(dataset, at=(AT,)), Evaluator(dataset, mode="predcls", at=(AT,))
    for number in range(count):
        sample = make_sample(VALIDATION_SEED, number)
        record, ids = record_of(sample, setting, str(number)), trained(sample, setting).ids
        image = Image.fromarray(sample.image)
        found.add(record, ids, from_prediction(record.image_id, model.predict(image)))
        # Numbers as the annotated order has them.
        numbers = sum((n + 1) * (ids == segment.id) for n, segment in enumerate(record.segments))
        segmented = model.encode_segments(image, numbers, [segment.category for segment in record.segments])
        given.add(record, None, from_prediction(record.image_id, model.relate(segmented)))
    metrics, told = found.metrics(), given.metrics()
    row = {name: float(metrics[name] or 0.0) for name in (f"R@{AT}", f"mR@{AT}", "PQ", "PQ_things", "InstR")}
    row |= {f"given_{name}": float(told[name] or 0.0) for name in (f"R@{AT}", f"mR@{AT}")}
    return row | {"score": row[f"R@{AT}"] + row[f"mR@{AT}"] + 0.01 * row["PQ"]}


if __name__ == "__main__":
    main()
