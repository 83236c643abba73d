from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone import load_backbone
from spade.diffusion.lora import WEIGHTS
from spade.diffusion.student import load_student
from spade.diffusion.teacher_maps import read_teacher_maps
from spade.steps import calibrate, invert, maps
from spade.steps.common import Run
from spade.steps.config import MapsConfig
from tests.configs import calibrating, inverting
from tests.steps.helpers import lines, payload


@pytest.fixture(scope="module")
def teacher(world, tmp_path_factory):
    """A workspace with an inversion that keeps all that can be kept."""
    run = Run(Workspace(tmp_path_factory.mktemp("teacher")))
    invert.run(inverting(data=world, keep="tokens", counterfactual=2), run)
    return run


def copied(run, place):
    shutil.copytree(run.workspace.root, place, dirs_exist_ok=True)
    return Run(Workspace(place))


def test_the_cache_keeps_tokens_and_wrong_prompts(teacher, world):
    dataset = load_psg(world)
    records = {record.image_id: record for record in dataset.records}
    kinds = set()
    for kept in read_teacher_maps(teacher.workspace.newest("invert")):
        for own in kept.spans:
            tokens = kept.tokens[own.prompt][list(own.tokens)]
            assert torch.allclose(tokens.mean(0), own.map, atol=1e-3), "fp16"
        assert 0 < len(kept.wrong) <= 3 * 4
        for wrong in kept.wrong:
            assert not torch.equal(wrong.map, kept.spans[wrong.of].map), "another prompt, another map"
        assert records[kept.image_id]
        kinds |= {wrong.kind for wrong in kept.wrong}
    assert kinds == {"predicate", "roles"}


KINDS = [
    {"train": "adapter"},
    {"train": "full"},
    {"targets": ("q", "k"), "rank": 4},
    {"alignment": "index"},
    {"alignment": "matched", "tokens": 20},
    {"counterfactual": 0.5, "accumulate": 2},
]


# Those of one word alone always; the others learn by the same code.
@pytest.mark.parametrize(
    "options",
    [pytest.param(kind, marks=() if len(kind) == 1 else pytest.mark.slow) for kind in KINDS],
    ids=[" ".join(map(str, kind.values())) for kind in KINDS],
)
def test_every_kind_learns_saves_and_comes_back(teacher, tmp_path, options, clip):
    run = copied(teacher, tmp_path)
    result = calibrate.run(calibrating(epochs=2, init="scratch", **options), run)
    assert result.result.loss_after < result.result.loss_before
    assert (result.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    files = {p.name for p in (result.path / "adapter").iterdir()}
    assert (WEIGHTS in files) == (options.get("train", "lora") == "lora")
    assert ("unet.safetensors" in files) == (options.get("train") == "full")
    backbone = load_backbone("tiny", torch.device("cpu"), torch.float32)
    student = load_student(backbone, clip, result.path / "adapter")
    assert (student.kind.train, student.kind.alignment) == (
        options.get("train", "lora"),
        options.get("alignment", "vocabulary"),
    )
    labels = student.label_context(load_psg(Path(result.result.data)).vocabulary)
    assert (len(labels.tokens) > 0) == student.kind.labels
    encoded_image = student.encode(Image.new("RGB", (128, 96), "red"))
    seen = student.extract(encoded_image, labels)
    assert all(torch.isfinite(feature).all() for feature in seen.features)
    assert (seen.attention is None) == (student.kind.alignment != "vocabulary")
    if seen.attention is not None:
        assert seen.attention.shape[:2] == (1, len(labels.tokens))
    if options.get("rank"):
        weights = load_file(result.path / "adapter" / WEIGHTS)
        assert all(".to_q." in name or ".to_k." in name for name in weights)
        assert {w.shape[0] for n, w in weights.items() if "lora_A" in n} == {4}
    if "counterfactual" in options:
        assert "hinge" in lines(result.path / "curves.jsonl")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"train": "full"}, {"alignment": "matched"}, {"counterfactual": 0.5, "accumulate": 2, "batch_size": 3}]
)
def test_a_resumed_calibration_has_the_same_bytes(teacher, tmp_path, monkeypatch, options):
    from spade.training import loop as training

    config = calibrating(epochs=2, init="scratch", **options)
    whole = calibrate.run(config, copied(teacher, tmp_path / "whole"))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    optimise, steps = training._optimise, []

    def breaks(*args):
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        optimise(*args)

    monkeypatch.setattr(training, "_optimise", breaks)
    run = copied(teacher, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        calibrate.run(config, run)
    resumed = calibrate.run(config, run)
    assert len(steps) > 2, "it went on"
    assert payload(whole.path) == payload(resumed.path)


@pytest.mark.slow
def test_what_no_gradient_reaches_is_not_trained(teacher, tmp_path):
    """The last layer that is read needs its queries and keys only."""
    run = copied(teacher, tmp_path)
    everything = calibrate.run(calibrating(epochs=1, init="scratch"), run).result.parameters
    queries = calibrate.run(calibrating(epochs=1, init="scratch", targets=("q", "k")), run).result.parameters
    weights = load_file(run.workspace.newest("calibrate").path / "adapter" / WEIGHTS)
    assert queries == sum(w.numel() for w in weights.values()) + everything_but_lora(run)
    assert everything > queries


def everything_but_lora(run):
    weights = load_file(run.workspace.newest("calibrate").path / "adapter" / "image_adapter.safetensors")
    return sum(w.numel() for w in weights.values())


def test_a_whole_unet_is_trained_in_float32():
    with pytest.raises(SpadeError, match=r"^`dtype=bfloat16`: a whole UNet is trained in float32"):
        calibrating(train="full", dtype="bfloat16")


@pytest.mark.slow
def test_half_precision_learns(teacher, tmp_path):
    result = calibrate.run(calibrating(epochs=1, init="scratch", dtype="bfloat16"), copied(teacher, tmp_path))
    assert result.result.loss_after < result.result.loss_before


def test_the_packaged_adapter_said_in_other_words_is_no_other(pipeline, tmp_path):
    run = Run(Workspace(tmp_path))
    shutil.copytree(pipeline["invert"].path, tmp_path / "invert" / pipeline["invert"].key)
    made = calibrate.run(calibrating(epochs=1, tokens=4, targets=("out", "v", "k", "q")), run)
    assert made.result.init == "embedded"
    assert not made.result.oracle


def test_what_the_cache_lacks_is_named(pipeline, tmp_path):
    run = Run(Workspace(tmp_path))
    shutil.copytree(pipeline["invert"].path, tmp_path / "invert" / pipeline["invert"].key)
    with pytest.raises(SpadeError, match="for `alignment=index` run spade invert with `keep=tokens`"):
        calibrate.run(calibrating(alignment="index", init="scratch"), run)
    with pytest.raises(SpadeError, match="for `counterfactual` run spade invert with `counterfactual=3`"):
        calibrate.run(calibrating(counterfactual=0.1), run)
    for options, message in (
        ({"train": "full"}, "`train=full`"),
        ({"rank": 4}, "`rank=4`"),
        ({"targets": ("q",)}, "`targets=q`"),
    ):
        with pytest.raises(
            SpadeError,
            match=f"^{message}: the packaged adapter, from which training starts here, is another; add `init=scratch`",
        ):
            calibrate.run(calibrating(**options), run)
    assert not (tmp_path / "calibrate").exists()


def test_figures_of_maps(pipeline, world, tmp_path):
    run = pipeline["run"]
    first = maps.run(MapsConfig(), run)
    assert first.result.images == ["12", "16"], "those that the small world's calibration watches"
    named = maps.run(MapsConfig(images=("000016.png", "12")), run)
    assert named.result.images == ["16", "12"]
    for figure in named.result.figures:
        with Image.open(figure) as image:
            assert image.width > 400
    assert maps.run(MapsConfig(images=("16", "12")), run).cached, "an image is the same by its id and by its name"
    with pytest.raises(SpadeError, match=r"^nothing\.png: no image of the inverted data set has this id or file name"):
        maps.run(MapsConfig(images=("nothing.png",)), run)
