"""A model folder to a predictor that can be called."""

from __future__ import annotations

from pathlib import Path

import torch

from spade.core.device import pick_device, pick_dtype
from spade.core.errors import SpadeError
from spade.core.weights import load_weights
from spade.diffusion.backbone import load_backbone
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.student import load_student
from spade.models.checkpoint import BOX_WEIGHTS, MODEL_FORMAT, find_model, packaged, read_box_model, read_model
from spade.models.heads import Heads
from spade.models.predictor import SceneGraphPredictor
from spade.models.relation_predictor import RelationPredictor
from spade.open_vocabulary.clip import load_clip
from spade.relations.boxes import BoxRelationModel, LearnedEmbeddings, TextEmbeddings
from spade.relations.head import RelationHead
from spade.relations.losses import prior_of
from spade.structures.label_index import LabelIndex


def load_relation_predictor(
    source: str | Path | None = None, device: str = "auto", balance: float | None = None
) -> RelationPredictor:
    """Load a model of labels and boxes: nothing for the packaged one, a workspace for its newest, or a model folder.

    balance: how much is done for rare predicates, from 0 (see ``RelationPredictor``); nothing for what the model was
    saved with. Raises SpadeError if the folder holds no such model, or one that does not fit together.
    """
    folder, place = find_model(source, ("layout",)), pick_device(device)
    own = read_box_model(folder)
    vocabulary, clip = own.vocabulary, None if own.clip is None else load_clip(own.clip, place)
    words: LearnedEmbeddings | TextEmbeddings
    if clip is None:
        words = LearnedEmbeddings(
            len(vocabulary.objects), max(1, len(own.groups)), len(vocabulary.predicates), own.config.clip_dim
        )
    else:
        words = TextEmbeddings(clip.embed_labels(vocabulary.objects), clip.embed_predicates(vocabulary.predicates))
    try:
        model = BoxRelationModel(RelationHead(own.config), words)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise SpadeError(
            f"{folder}: no model of this shape can be built ({error}); train it anew with: spade train-relations"
        ) from None
    load_weights(model, folder / BOX_WEIGHTS, "train them anew with: spade train-relations --nodes layout")
    origin = "packaged" if folder == packaged("layout") else folder.name
    told = {"name": origin, "nodes": "layout", "spade_model_format": MODEL_FORMAT}
    used, table = own.balance if balance is None else balance, LabelIndex(vocabulary.objects, own.groups)
    return RelationPredictor(
        model.to(place), vocabulary, table, prior_of(torch.tensor(own.counts)), used, told | {"balance": used}, clip
    )


def load_heads(folder: Path) -> Heads:
    """The trained heads of a model folder."""
    heads = Heads(read_model(folder).heads)
    load_weights(heads, folder / "heads.safetensors", "train them anew with: spade train-relations")
    return heads


def load(
    source: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    fusion: float | None = None,
    novel_odds: float | None = None,
) -> SceneGraphPredictor:
    """Load a model: nothing for the packaged tiny one, a workspace for its newest trained one, or a model folder.

    fusion: exponent of the diffusion branch in [0, 1]; novel_odds: of names that training did not have
    (spade.novel_names), 0 for their text alone. Nothing for those that the model was trained with. Raises SpadeError if
    the folder holds no model, or one that does not fit together.
    """
    folder = find_model(source)
    description = read_model(folder)
    place = pick_device(device)
    backbone = load_backbone(description.backbone, place, getattr(torch, pick_dtype(dtype, place)))
    student = load_student(backbone, load_clip(description.clip, place), folder / "adapter")
    heads = load_heads(folder)
    if novel_odds and not heads.config.untrained:
        raise SpadeError(
            f"--novel-odds {novel_odds}: this model's OpenCLIP tower sees no regions, and new names have their text "
            "alone; leave it out."
        )
    origin = "packaged" if folder == embedded_model() else folder.name
    facts = {"name": origin, "backbone": description.backbone, "spade_model_format": MODEL_FORMAT}
    fusion = description.fusion if fusion is None else fusion
    return SceneGraphPredictor(
        student, heads, description.vocabulary, facts, fusion, description.odds if novel_odds is None else novel_odds
    )
