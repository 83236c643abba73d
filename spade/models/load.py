"""A model folder to a predictor that can be called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spade.core.device import open_device, open_dtype
from spade.core.errors import SpadeError, given
from spade.diffusion.backbone_files import embedded_model
from spade.models.build import box_model_of, heads_of
from spade.models.checkpoint import (
    FORMAT,
    OPEN,
    BoxModelFile,
    ModelFile,
    find_model,
    packaged,
    packaged_open,
    read_box_model,
    read_image_model,
)
from spade.models.config import PredictorOptions
from spade.models.relation_predictor import RelationPredictor
from spade.open_vocabulary.clip import load_clip
from spade.relations.losses import prior_of
from spade.structures.label_index import LabelIndex

if TYPE_CHECKING:
    from spade.models.predictor import SceneGraphPredictor


def load(
    source: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    fusion: float | None = None,
    unseen_odds: float | None = None,
    denoised_pairs: int | None = None,
) -> SceneGraphPredictor:
    """Load a predictor: nothing for the packaged tiny one, a workspace for its newest, or a model folder.

    fusion: exponent of the diffusion branch in [0, 1]; unseen_odds: of names that training did not have
    (spade.open_vocabulary.unseen_names), 0 for their text alone; None for what the model was saved with.
    denoised_pairs: of an image, whose unseen predicates are told apart by the UNet's denoising error. Raises SpadeError
    if the folder holds no model, or one that does not fit together.
    """
    options = PredictorOptions(fusion=fusion, unseen_odds=unseen_odds, denoised_pairs=denoised_pairs)
    return open_model(read_image_model(find_model(source)), device, dtype, options)


def open_model(model: ModelFile, device: str, dtype: str, options: PredictorOptions) -> SceneGraphPredictor:
    """The predictor of a model file that was read; options that are None are the model's own."""
    # Relations of given segments need none of what is behind these.
    from spade.diffusion.backbone import load_backbone
    from spade.diffusion.student import load_student
    from spade.models.predictor import SceneGraphPredictor

    place = open_device(device)
    backbone = load_backbone(model.backbone, place, open_dtype(dtype, place))
    student = load_student(backbone, load_clip(model.clip, place), model.adapter)
    heads = heads_of(model)
    if options.unseen_odds not in (None, 0.0, model.options.unseen_odds) and not heads.config.unseen:
        raise SpadeError(
            f"{given('unseen_odds', options.unseen_odds)}: this model's OpenCLIP tower sees no regions, and new names "
            "have their text alone; leave it out."
        )
    origin = {embedded_model(): "packaged", packaged_open(): f"packaged {OPEN}"}.get(model.folder, model.folder.name)
    facts = {"name": origin, "backbone": model.backbone, "spade_model_format": FORMAT}
    fusion = model.options.fusion if options.fusion is None else options.fusion
    odds = model.options.unseen_odds if options.unseen_odds is None else options.unseen_odds
    assert fusion is not None
    assert odds is not None
    return SceneGraphPredictor(student, heads, model.vocabulary, facts, fusion, odds, options.denoised_pairs or 0)


def load_relation_predictor(
    source: str | Path | None = None, device: str = "auto", logit_adjustment: float | None = None
) -> RelationPredictor:
    """Load a model of labels and boxes: nothing for the packaged one, a workspace for its newest, or a model folder.

    logit_adjustment: how much is done for rare predicates, from 0 (see ``RelationPredictor``); None for what the model
    was saved with. Raises SpadeError if the folder holds no such model, or one that does not fit together.
    """
    options = PredictorOptions(logit_adjustment=logit_adjustment)
    return open_box_model(read_box_model(find_model(source, ("boxes",))), device, options)


def open_box_model(model: BoxModelFile, device: str, options: PredictorOptions) -> RelationPredictor:
    """The predictor of a model file that was read; options that are None are the model's own."""
    place = open_device(device)
    clip = None if model.clip is None else load_clip(model.clip, place)
    index = LabelIndex(model.vocabulary.objects, model.groups)
    built = box_model_of(model, index, clip).to(place)
    origin = "packaged" if model.folder == packaged("boxes") else model.folder.name
    used = model.options.logit_adjustment if options.logit_adjustment is None else options.logit_adjustment
    assert used is not None
    facts = {"name": origin, "inputs": "boxes", "spade_model_format": FORMAT, "logit_adjustment": used}
    return RelationPredictor(built, model.vocabulary, index, prior_of(torch.tensor(model.counts)), used, facts, clip)
