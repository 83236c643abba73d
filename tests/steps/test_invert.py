from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.diffusion import teacher
from spade.diffusion.teacher import read_span_maps
from spade.diffusion.teacher_maps import TeacherMaps, batch_file, index, pack, read_teacher_maps
from spade.steps import invert
from spade.steps.common import Run
from tests.configs import inverting
from tests.steps.helpers import copied, lines, payload


def test_inversion_keeps_a_map_for_every_mention(pipeline, world):
    dataset, result = load_psg(world), pipeline["invert"]
    rows = lines(result.path / "index.jsonl")
    records = [r for r in dataset.split("train") if r.training_triples()]
    assert [row["image_id"] for row in rows] == [r.image_id for r in records]
    for row, record in zip(rows, records, strict=True):
        assert len(row["spans"]) == 3 * len(record.training_triples())
        maps = load_file(result.path / row["file"])[row["tensor"]]
        assert maps.dtype == torch.float16
        assert maps.shape == (len(row["spans"]), 16, 16)
        assert (maps >= 0).all()
        assert maps.max() <= 1
        for span in row["spans"]:
            if span["segment"] >= 0:
                assert dataset.classes[record.segments[span["segment"]].category] == span["name"]
    plan = json.loads((result.path / "plan.json").read_text())
    assert [i for batch in plan["batches"] for i in batch] == [r.image_id for r in records]


def test_broken_and_absent_images_are_skipped_and_counted(world, tmp_path):
    data = copied(world, tmp_path)
    (data / "images" / "000000.png").write_bytes(b"rubbish")
    (data / "images" / "000001.png").unlink()
    Image.new("RGB", (10, 10)).save(data / "images" / "000002.png")
    result = invert.run(inverting(data=data), Run(Workspace(tmp_path / "w")))
    assert result.result.images == 13
    text = " ".join(result.result.skipped)
    assert "000000.png: this image cannot be decoded" in text
    assert "000001.png: no such image" in text
    assert "000002.png: is 10 x 10, the annotation says 128 x 128" in text
    with pytest.raises(SpadeError, match="`strict`"):
        invert.run(inverting(data=data, strict=True), Run(Workspace(tmp_path / "w"), force=True))


def test_nothing_usable_leaves_nothing_behind(world, tmp_path):
    data = copied(world, tmp_path)
    for image in (data / "images").iterdir():
        image.write_bytes(b"rubbish")
    with pytest.raises(SpadeError, match=r"000000\.png: this image cannot be decoded"):
        invert.run(inverting(data=data), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()
    shutil.rmtree(data / "images")
    with pytest.raises(
        SpadeError, match="no such image, nor any other of this data set; name the images' folder with `images`"
    ):
        invert.run(inverting(data=data), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_images_elsewhere(world, tmp_path):
    shutil.copy(world / "psg.json", tmp_path / "psg.json")
    result = invert.run(inverting(data=tmp_path / "psg.json", images=world, limit=3), Run(Workspace(tmp_path / "w")))
    assert result.result.images == 3


@pytest.mark.slow
def test_a_resumed_inversion_has_the_same_bytes(world, tmp_path):
    config = inverting(data=world, batch_size=3)
    whole = invert.run(config, Run(Workspace(tmp_path / "whole")))
    part = tmp_path / "part" / "invert" / whole.key
    shutil.copytree(whole.path, part)
    for name in ("manifest.json", "index.jsonl", "maps/000001.safetensors", "maps/000004.safetensors"):
        (part / name).unlink()
    (part / "maps" / "000001.safetensors.123.partial").write_bytes(b"half")
    kept = (part / "maps" / "000000.safetensors").stat().st_mtime_ns
    resumed = invert.run(config, Run(Workspace(tmp_path / "part")))
    assert not resumed.cached
    assert (part / "maps" / "000000.safetensors").stat().st_mtime_ns == kept
    assert payload(whole.path) == payload(resumed.path)


@pytest.mark.parametrize(
    "options",
    [
        {"latents": "noised"},
        pytest.param({"latents": "random"}, marks=pytest.mark.slow),
        pytest.param({"read": "resampling", "latents": "noised"}, marks=pytest.mark.slow),
    ],
)
def test_noise_is_the_image_s_own_whatever_its_batch(world, tmp_path, options):
    """A killed and a whole run agree in their bytes, other batches but for the last bits; another seed has other
    noise.
    """
    config = inverting(data=world, batch_size=3, limit=5, steps=10, read_at=(301,), counterfactual=1, **options)
    whole = invert.run(config, Run(Workspace(tmp_path / "whole")))
    part = tmp_path / "part" / "invert" / whole.key
    shutil.copytree(whole.path, part)
    for name in ("manifest.json", "index.jsonl", "maps/000001.safetensors"):
        (part / name).unlink()
    assert payload(invert.run(config, Run(Workspace(tmp_path / "part"))).path) == payload(whole.path)

    def maps(changed):
        artifact = Workspace(tmp_path / "w").newest("invert", invert.run(changed, Run(Workspace(tmp_path / "w"))).key)
        return torch.cat([own.map.flatten() for kept in read_teacher_maps(artifact) for own in kept.spans])

    plain = maps(config)
    assert torch.allclose(plain, maps(replace(config, settings={**config.settings, "batch_size": 5})), atol=1e-3)
    assert not torch.allclose(plain, maps(replace(config, seed=1)), atol=1e-3)


def test_a_damaged_file_of_a_killed_run_is_made_again(world, tmp_path):
    config = inverting(data=world, batch_size=3, limit=5)
    whole = invert.run(config, Run(Workspace(tmp_path)))
    kept = payload(whole.path)
    (whole.path / "manifest.json").unlink()
    (whole.path / "index.jsonl").unlink()
    batch_file(whole.path, 1).write_bytes(batch_file(whole.path, 1).read_bytes()[:100])
    assert payload(invert.run(config, Run(Workspace(tmp_path))).path) == kept


def test_a_data_set_without_relations_is_refused(world, tmp_path):
    document = json.loads((world / "psg.json").read_text())
    for row in document["data"]:
        row["relations"] = []
    (tmp_path / "psg.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match="has no images with relations in the split 'train'"):
        invert.run(inverting(data=tmp_path, images=world), Run(Workspace(tmp_path / "w")))


def test_a_grid_that_no_layer_has_is_one_sentence(world, tmp_path):
    with pytest.raises(SpadeError, match=r"^`grids=3`: this UNet has cross-attention on grids of stride 1, 2, 4 only"):
        invert.run(inverting(data=world, grids=(1, 3)), Run(Workspace(tmp_path / "w")))
    assert not list((tmp_path / "w").rglob("*.safetensors"))


def test_maps_that_are_no_numbers_are_not_kept(world, tmp_path, monkeypatch):
    def broken(backbone, pixels, prompts, plan, noise):
        seen, reached = read_span_maps(backbone, pixels, prompts, plan, noise)
        seen[0].spans[0].map[0, 0] = float("nan")
        return seen, reached

    monkeypatch.setattr(teacher, "read_span_maps", broken)
    result = invert.run(inverting(data=world, limit=3), Run(Workspace(tmp_path / "w")))
    assert len(result.result.skipped) == 1
    assert "its maps are no numbers in float32" in result.result.skipped[0]


@pytest.mark.parametrize("name", ["", "  ", "\t"])
def test_a_blank_label_is_refused(world, tmp_path, name):
    document = json.loads((world / "psg.json").read_text())
    document["thing_classes"][1] = name
    (tmp_path / "psg.json").write_text(json.dumps(document))
    with pytest.raises(
        SpadeError, match=r"psg\.json: name 1 \(from 0\) under thing_classes is blank .* give it a word"
    ):
        invert.run(inverting(data=tmp_path, images=world), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_labels_without_a_token_are_named(tmp_path):
    """Whether a label yields a token depends on the text encoder; such an image is skipped and named, not lost
    silently.
    """
    path = batch_file(tmp_path, 0)
    path.parent.mkdir()
    path.write_bytes(pack([TeacherMaps("7"), TeacherMaps("8", problem="broken")], ()))
    assert index(tmp_path, 1) == ([], ["image 7: its labels yield no token of the text encoder", "broken"], [])


def test_real_psg_format(shared, tmp_path):
    data = shared / "data" / "psg_mini"
    result = invert.run(inverting(data=data), Run(Workspace(tmp_path)))
    dataset = load_psg(data)
    records = {r.image_id: r for r in dataset.split("train")}
    rows = lines(result.path / "index.jsonl")
    assert {row["image_id"] for row in rows} == set(records)
    sizes = set()
    for row in rows:
        mentions = 3 * len(records[row["image_id"]].training_triples())
        maps = load_file(result.path / row["file"])[row["tensor"]]
        assert len(row["spans"]) == len(maps) == mentions
        sizes.add(tuple(maps.shape[1:]))
    assert len(sizes) > 1, "images keep their own shapes"


def test_coco_panoptic_has_no_relations(shared, tmp_path):
    with pytest.raises(SpadeError, match=r"panoptic\.json: is a COCO annotation file; it has no relations"):
        invert.run(inverting(data=shared / "data" / "coco_panoptic_sample"), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()
