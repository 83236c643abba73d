from __future__ import annotations

from pathlib import Path

import pytest

from spade.core.errors import SpadeError
from spade.diffusion.backbone_files import LARGE, TINY
from spade.diffusion.config import CalibrationConfig, InversionConfig
from spade.relations.config import RelationHeadConfig, box_head
from spade.steps import train_boxes
from spade.steps.config import (
    EvalConfig,
    InvertConfig,
    PredictConfig,
    TrainBoxesConfig,
    TrainRelationsConfig,
)
from spade.steps.relation_method import resolve
from spade.training.config import RelationLossConfig, Schedule
from tests.configs import boxing, calibrating, inverting, relating


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inverting(split="dev"), "`split=dev`: use train, val, test or all"),
        (lambda: inverting(limit=0), "`limit=0`"),
        (lambda: inverting(rank=4), "`rank`: is no setting here; there are batch_size, counterfactual, grids"),
        (lambda: inverting(preset="best"), "`preset=best`: use default or paper"),
        (lambda: InversionConfig(read="twice"), "`read=twice`: use inversion or resampling"),
        (lambda: InversionConfig(grids=()), "`grids`: name one or more"),
        (lambda: CalibrationConfig(rank=0), "`rank=0`: use a number of at least 1"),
        (lambda: CalibrationConfig(targets=("q", "x")), "`targets=x`: use q, k, v or out"),
        (
            lambda: CalibrationConfig(alignment="index", counterfactual=1.0),
            "`alignment=index`: `counterfactual` compares",
        ),
        (lambda: calibrating(init="random"), "`init=random`: use embedded or scratch"),
        (lambda: calibrating(train="full", dtype="bfloat16"), "`dtype=bfloat16`: a whole UNet is trained in float32"),
        (lambda: Schedule(epochs=-1), "`epochs=-1`"),
        (lambda: Schedule(learning_rate=float("inf")), "`learning_rate=inf`"),
        (lambda: RelationHeadConfig(nearness="far"), "`nearness=far`: use boxes or masks"),
        (
            lambda: RelationHeadConfig(width=30),
            "`width=30`: use a number of at least 32|`width=30`: use a number from 32",
        ),
        (lambda: RelationHeadConfig(width=48), "`width=48`: use a multiple of 32"),
        (lambda: RelationHeadConfig(attention="literal", edges=True), "`edges=True`: only `attention=values` weighs"),
        (lambda: RelationLossConfig(logit_adjustment=0.5, reweighting=0.5), "`reweighting=0.5`: use it or"),
        (lambda: relating(mode="sgcls"), "`mode=sgcls`: use sgdet or predcls"),
        (lambda: relating(masks_from=Path("m"), mask_weight=2), "`mask_weight=2`: changes nothing, since `masks_from`"),
        (lambda: boxing(fine=False), "`fine`: is no setting here"),
        (lambda: boxing(clip="tiny", label_dropout=0.3), "`label_dropout`: hides learned names"),
        (lambda: PredictConfig(min_score=2), "`min_score=2`"),
        (lambda: PredictConfig(top=0), "`top=0`"),
        (lambda: PredictConfig(segments=Path("a"), segmenter="b"), "`segments`: gives masks and labels"),
        (lambda: EvalConfig(at=()), "`at`"),
        (lambda: EvalConfig(at=(0,)), "`at`"),
    ],
)
def test_bad_values_are_refused_before_anything_runs(make, message):
    with pytest.raises(SpadeError, match=message):
        make()


def scratch(**settings):
    return resolve(relating(init="scratch", **settings), TINY, None, None)


def test_images_are_not_mirrored_where_names_say_sides_unless_asked_for():
    def of(**settings):
        return resolve(relating(init="scratch", **settings), TINY, None, None, mirrored=False).masks.mirrored

    assert scratch().masks.mirrored
    assert not of()
    assert of(mirrored=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0, "neighbours": "soft"}, "`neighbours=soft`: changes nothing, since `layers=0` builds no graph"),
        ({"layers": "0", "context": "near"}, "`context=near`: changes nothing, since `layers=0`"),
        (
            {"context": ("convolution",), "attention": "literal"},
            "`attention=literal`: changes nothing, .* no attention",
        ),
        ({"context": "none", "nearness": "masks"}, "`nearness=masks`: changes nothing, since `context=none`"),
        (
            {"look": False, "positional_encoding": True},
            "`positional_encoding=True`: changes nothing, since `look=False`",
        ),
    ],
)
def test_what_changes_nothing_is_refused(settings, message):
    with pytest.raises(SpadeError, match=message):
        scratch(**settings)
    if "positional_encoding" not in settings:
        with pytest.raises(SpadeError, match="changes nothing"):
            train_boxes.resolve(boxing(**settings))


def test_settings_are_read_from_text_as_their_fields_are():
    method = scratch(
        neighbours="hard", layers="1", context="near,far", geometry="false", dropout="0.25", ema_decay="0.99",
        mask_source="annotated", fusion="0.5", queries="9", accumulate="2", reweighting="0.5", fine="no",
    )  # fmt: skip
    assert (method.relations.neighbours, method.relations.layers, method.relations.context) == (
        "hard",
        1,
        ("near", "far"),
    )
    assert (method.relations.geometry, method.relations.dropout, method.schedule.ema_decay) == (False, 0.25, 0.99)
    assert (method.masks.mask_source, method.fusion.fusion, method.proposer.queries) == ("annotated", 0.5, 9)
    assert (method.schedule.accumulate, method.losses.reweighting, method.proposer.fine) == (2, 0.5, False)
    for name, text, wanted in (("layers", "two", "a whole number"), ("geometry", "maybe", "true or false")):
        with pytest.raises(SpadeError, match=f"`{name}={text}`: use {wanted}"):
            scratch(**{name: text})


def test_defaults_go_with_the_size_of_the_backbone():
    tiny, large = scratch(), resolve(relating(init="scratch"), LARGE, None, None)
    assert (tiny.relations.width, tiny.relations.layers, tiny.proposer.queries, tiny.proposer.mask_layers) == (
        96, 2, 24, 3,
    )  # fmt: skip
    assert (large.relations.width, large.relations.layers, large.proposer.queries, large.proposer.mask_layers) == (
        256, 8, 100, 9,
    )  # fmt: skip
    assert (tiny.schedule.learning_rate, large.schedule.learning_rate) == (1e-3, 1e-4)
    assert scratch(width=32, learning_rate=0.5).schedule.learning_rate == 0.5


def test_the_papers_preset_is_spade_as_far_as_it_is_known():
    paper = scratch(preset="paper")
    own = paper.relations
    assert (own.neighbours, own.nearness, own.attention, own.selector, own.fourier_bands) == (
        "hard", "masks", "literal", "cosine", 0,
    )  # fmt: skip
    assert (paper.schedule.epochs, paper.schedule.decay, paper.fusion.fusion) == (80, "step", 0.34)
    assert scratch(preset="paper", neighbours="soft", epochs=3).schedule.epochs == 3, "a setting goes before the preset"
    boxes = train_boxes.resolve(boxing(preset="paper"))
    assert (boxes.relations.attention, boxes.relations.edges, boxes.schedule.epochs) == ("literal", False, 80)


def test_boxes_have_defaults_of_their_own():
    method = train_boxes.resolve(boxing())
    assert method.relations == box_head()
    assert (method.relations.width, method.relations.dropout, method.relations.pairs) == (128, 0.3, 10_000)
    assert (method.schedule.epochs, method.schedule.batch_size, method.schedule.ema_decay) == (10, 32, 0.999)


@pytest.mark.parametrize("kind", [InvertConfig, TrainRelationsConfig, TrainBoxesConfig, PredictConfig, EvalConfig])
def test_every_setting_has_a_name_of_its_own_and_a_meaning(kind):
    from spade.core.settings import listed

    rows = listed(*kind.parts())
    names = [row.name for row in rows]
    assert all(names.count(name) == 1 for name in names)
    assert all(row.meaning for row in rows)
