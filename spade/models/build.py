"""The only builder of heads, for commands, examples and benchmarks alike. It has no defaults of its own.

What loads the diffusion model is imported where it is used: relations of labels and boxes need none of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spade.core.errors import SpadeError, given
from spade.core.weights import load_weights
from spade.models.checkpoint import HEADS, BoxModelFile, ModelFile
from spade.models.config import HeadsConfig
from spade.open_vocabulary.clip import OpenClip
from spade.relations.boxes import BoxRelationModel, LearnedEmbeddings, TextEmbeddings
from spade.relations.config import LABEL_DIM, RelationHeadConfig
from spade.relations.head import RelationHead
from spade.segmentation.config import MaskProposerConfig
from spade.structures.label_index import LabelIndex
from spade.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from spade.diffusion.student import Student
    from spade.models.heads import Heads
    from spade.segmentation.mask_proposer import MaskProposer


def build_heads(config: HeadsConfig, student: Student, classes: int, proposer: MaskProposer | None = None) -> Heads:
    """Fresh heads on a student's features for ``classes`` names; with a mask proposer that is there already, if any.

    Fills in what depends on features and OpenCLIP model. Raises SpadeError where a given proposer's queries are of
    another width than the relation head.
    """
    from spade.models.heads import Heads

    built = HeadsConfig(
        proposer=_on_features(replace(config, proposer=replace(config.proposer, classes=classes)), student),
        relations=replace(config.relations, clip_dim=student.clip.dim),
        unseen=student.clip.sees_regions,
        probe=student.clip.sees_regions,
    )
    heads = Heads(built)
    return heads if proposer is None else with_proposer(heads, proposer)


def _on_features(config: HeadsConfig, student: Student) -> MaskProposerConfig:
    from spade.diffusion.features import COARSE, feature_channels, feature_strides

    levels = 0 if config.proposer.fine else -COARSE
    return replace(
        config.proposer,
        strides=feature_strides(student.backbone)[levels:],
        channels=feature_channels(student.backbone)[levels:],
        clip_dim=student.clip.dim,
        width=config.relations.width,
        name_attention=config.proposer.name_attention and student.kind.labels,
    )


def with_proposer(heads: Heads, proposer: MaskProposer) -> Heads:
    """The heads on another mask proposer. Raises SpadeError where its queries are of another width."""
    width, wanted = heads.relations.config.width, proposer.config.width
    if wanted != width:
        raise SpadeError(
            f"{given('masks_from')}: its queries have {wanted} channels, the relation head {width}; "
            f"use {given('width', wanted)}, or leave {given('masks_from')} out."
        )
    heads.proposer, heads.config = proposer, replace(heads.config, proposer=proposer.config)
    return heads


def heads_of(model: ModelFile, classes: int | None = None, relations: RelationHeadConfig | None = None) -> Heads:
    """The trained heads of a model folder; for another number of names, or with other dropout or pairs, if asked
    for.
    """
    from spade.models.heads import Heads

    proposer = model.heads.proposer if classes is None else replace(model.heads.proposer, classes=classes)
    heads = Heads(replace(model.heads, proposer=proposer, relations=relations or model.heads.relations))
    load_weights(heads, model.folder / HEADS, "train them anew with: spade train-relations")
    return heads


def build_relation_head(config: RelationHeadConfig, clip_dim: int) -> RelationHead:
    """A fresh relation head for names that stand as vectors of this length."""
    return RelationHead(replace(config, clip_dim=clip_dim))


def build_box_model(
    config: RelationHeadConfig,
    vocabulary: Vocabulary,
    index: LabelIndex,
    clip: OpenClip | None,
    label_dropout: float = 0.0,
) -> BoxRelationModel:
    """A fresh relation head on labels and boxes, with learned vectors for names, or an OpenCLIP model's embeddings."""
    words: LearnedEmbeddings | TextEmbeddings
    if clip is None:
        groups = max(1, len(index.groups))
        words = LearnedEmbeddings(
            len(index.labels), groups, len(vocabulary.predicates), config.clip_dim or LABEL_DIM, label_dropout
        )
    else:
        words = TextEmbeddings(clip.embed_labels(vocabulary.objects), clip.embed_predicates(vocabulary.predicates))
    size = config.clip_dim or (LABEL_DIM if clip is None else clip.dim)
    return BoxRelationModel(build_relation_head(config, size), words)


def box_model_of(model: BoxModelFile, index: LabelIndex, clip: OpenClip | None) -> BoxRelationModel:
    """The trained model of a model folder. Raises SpadeError where it does not fit together."""
    try:
        built = build_box_model(model.head, model.vocabulary, index, clip)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise SpadeError(
            f"{model.folder}: no model of this shape can be built ({error}); train it anew with: spade train-boxes"
        ) from None
    load_weights(built, model.weights, "train it anew with: spade train-boxes")
    return built
