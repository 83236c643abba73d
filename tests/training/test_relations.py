from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
import torch

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.psg import Record, SegmentRecord
from spade.data.psg_reader import load_psg
from spade.diffusion.backbone_files import embedded_model
from spade.diffusion.teacher_maps import read_teacher_maps
from spade.steps import calibrate, invert, train_relations
from spade.steps.common import Run
from spade.structures.panoptic_png import read_panoptic
from spade.structures.regions import MapRegions
from spade.training.config import MaskTrainingConfig, RelationLossConfig
from spade.training.feature_cache import FeatureCache
from spade.training.relations import RelationTraining, _key
from spade.training.targets import annotation, void_regions
from tests.configs import calibrating, inverting, relating
from tests.steps.helpers import copied, lines


def regions_of(record, ids):
    return MapRegions.of_ids(ids, [segment.id for segment in record.segments])


def test_a_damaged_cache_and_a_changed_data_set_are_refused(world, tmp_path):
    data = copied(world, tmp_path)
    run = Run(Workspace(tmp_path / "w"))
    made = invert.run(inverting(data=data), run)
    target = made.path / "maps" / "000000.safetensors"
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + b"x")
    with pytest.raises(
        SpadeError, match=r"000000\.safetensors: this file was changed or damaged .* spade invert with `force`"
    ):
        calibrate.run(calibrating(epochs=1), run)
    target.unlink()
    with pytest.raises(
        SpadeError, match=r"the teacher maps are damaged \(FileNotFoundError\); run spade invert with `force`"
    ):
        list(read_teacher_maps(run.workspace.newest("invert")))
    target.write_bytes(whole)
    (data / "images" / "000000.png").write_bytes(b"other")
    with pytest.raises(SpadeError, match="the data set changed since it was inverted"):
        calibrate.run(calibrating(epochs=1), run)


def test_annotation_shrinks_and_drops_crowds(world):
    dataset = load_psg(world)
    record = dataset.records[0]
    ids = read_panoptic(dataset.panoptic_path(record))
    whole = annotation(record, regions_of(record, ids), (128, 128))
    masks, classes, triples = whole.masks, whole.classes, whole.triples
    assert torch.equal(masks, torch.from_numpy(np.stack([ids == s.id for s in record.segments])))
    assert classes.tolist() == [s.category for s in record.segments]
    assert triples.tolist() == [list(t) for t in record.training_triples()]
    small = annotation(record, regions_of(record, ids), (64, 96)).masks
    assert small.shape[1:] == (96, 64)
    import dataclasses

    crowd = dataclasses.replace(
        record, segments=(dataclasses.replace(record.segments[0], is_crowd=True), *record.segments[1:])
    )
    fewer = annotation(crowd, regions_of(crowd, ids), (128, 128)).masks
    assert len(fewer) == len(masks) - 1


def test_void_regions_without_seams_and_specks():
    void = np.zeros((128, 128), bool)
    void[10:40, 10:50], void[80:110, 60:90] = True, True
    void[64], void[120:123, 5:8] = True, True  # a seam, a speck
    found = void_regions(void)
    assert sorted(int(region.sum()) for region in found) == [896, 1196], "only corners are lost"
    assert found.dtype == torch.bool
    assert void_regions(np.zeros((64, 64), bool)).shape == (0, 64, 64)


def test_what_training_does_not_know_is_unnamed_whether_void_or_of_a_novel_name():
    ids = np.full((64, 64), 7, np.uint32)
    ids[:20, :20], ids[40:, 40:], ids[40:, :20] = 0, 9, 11
    grass = SegmentRecord(7, 0, False, False, 3000, (0, 0, 64, 64))
    crowd = SegmentRecord(11, 1, True, True, 480, (0, 40, 20, 64))
    segments = (grass, crowd)  # 9 has a name that is left out
    record = Record("1", "1", "a.png", "a.png", 64, 64, segments, ())
    truth = annotation(record, regions_of(record, ids), (64, 64), void_counts=True)
    inside = [[bool(region[place]) for place in ((10, 10), (50, 50), (50, 10), (30, 30))] for region in truth.unnamed]
    assert inside == [[True, False, False, False], [False, True, False, False]], "neither the crowd nor grass"
    assert annotation(record, regions_of(record, ids), (64, 64)).unnamed.shape[0] == 0


def test_the_cache_computes_alone_and_keeps_to_its_budget():
    asked = []
    cache = FeatureCache(budget=13)
    values = cache.view(lambda i: asked.append(i) or i * 10, lambda value: 4)
    assert [values[i] for i in (1, 2, 3, 4, 1, 2, 3, 4)] == [10, 20, 30, 40, 10, 20, 30, 40]
    assert asked == [1, 2, 3, 4, 4]
    others = cache.view(lambda i: asked.append(-i) or i, lambda value: 1)
    assert [others[i] for i in (5, 6, 5, 6)] == [5, 6, 5, 6]
    assert asked[5:] == [-5, -6, -6], "one budget for both kinds"


@pytest.mark.slow
def test_bad_images_and_maps_are_skipped_and_counted(world, tmp_path):
    data = copied(world, tmp_path)
    run = Run(Workspace(tmp_path / "w"))
    invert.run(inverting(data=data, limit=6), run)
    (data / "panoptic" / "000005.png").write_bytes(b"rubbish")
    calibrate.run(calibrating(epochs=1), run)
    (data / "images" / "000006.png").write_bytes(b"rubbish")
    result = train_relations.run(relating(data=data, epochs=1, limit=8), run)
    assert result.result.train_images + result.result.validation_images == 6
    text = " ".join(result.result.skipped)
    assert "panoptic/000005.png: this panoptic png cannot be decoded" in text
    assert "images/000006.png: this image cannot be decoded" in text
    with pytest.raises(SpadeError, match="`strict`"):
        train_relations.run(relating(data=data, epochs=1, limit=8, strict=True), run)


@pytest.mark.slow
def test_one_image_is_trained_on_and_validated(world, tmp_path):
    run = Run(Workspace(tmp_path))
    invert.run(inverting(data=world, limit=1), run)
    assert calibrate.run(calibrating(epochs=1), run).result.validation_images == 1
    assert train_relations.run(relating(epochs=1, limit=1), run).result.validation_images == 1


def test_another_clip_is_another_inversion_and_a_changed_backbone_is_refused(world, tmp_path):

    shutil.copytree(embedded_model() / "clip", tmp_path / "clip")
    shutil.copytree(embedded_model() / "backbone", tmp_path / "backbone")
    weights = tmp_path / "clip" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    run = Run(Workspace(tmp_path / "w"))
    own = {"data": world, "limit": 3, "backbone": str(tmp_path / "backbone")}
    first = invert.run(inverting(**own), run)
    second = invert.run(inverting(**own, clip=str(tmp_path / "clip")), run)
    assert first.key != second.key
    unet = next((tmp_path / "backbone" / "unet").glob("*.safetensors"))
    unet.write_bytes(unet.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SpadeError, match="this backbone changed since it gave the teacher maps"):
        calibrate.run(calibrating(epochs=1), run)


def test_a_moved_data_set_is_found_again(world, tmp_path):
    data, run = copied(world, tmp_path), Run(Workspace(tmp_path / "w"))
    invert.run(inverting(data=data, limit=4), run)
    data.rename(tmp_path / "elsewhere")
    assert invert.run(inverting(data=tmp_path / "elsewhere", limit=4), run).cached
    assert calibrate.run(calibrating(epochs=1), run).result.data == str(tmp_path / "elsewhere")


@pytest.mark.slow
def test_novel_names_are_kept_from_every_step_of_training(world, tmp_path):
    """The annotations still hold them; inversion, calibration and training know neither the names nor what is annotated
    with them.
    """
    data = copied(world, tmp_path)
    document = json.loads((data / "psg.json").read_text("utf-8"))
    objects, predicates = ["person", "sky-other-merged"], ["standing on", "on"]
    (data / "psg.json").write_text(
        json.dumps(document | {"novel": {"objects": objects, "predicates": predicates}}), "utf-8"
    )
    before = {document_label(document, s) for record in document["data"] for s in record["segments_info"]}
    assert set(objects) <= before
    run = Run(Workspace(tmp_path / "w"))
    inverted = invert.run(inverting(data=data), run)
    words = {span["name"] for row in lines(inverted.path / "index.jsonl") for span in row["spans"]}
    assert words
    assert not words & {*objects, *predicates}
    calibrate.run(calibrating(epochs=1), run)
    trained = train_relations.run(relating(epochs=1), run)
    known = json.loads((trained.path / "model.json").read_text("utf-8"))["vocabulary"]
    assert [o["name"] for o in known["objects"]] == [
        n for n in document["thing_classes"] + document["stuff_classes"] if n not in objects
    ]
    assert known["predicates"] == [name for name in document["predicate_classes"] if name not in predicates]


def document_label(document, segment):
    return (document["thing_classes"] + document["stuff_classes"])[segment["category_id"]]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_mirrored_image_has_mirrored_masks_and_the_same_relations(world, model, frozen):
    dataset = load_psg(world)
    heads = copy.deepcopy(model.heads)
    options = MaskTrainingConfig(mirrored=True)
    records = dataset.split("train")[:4]
    losses = RelationLossConfig()
    training = RelationTraining(model.student, heads, dataset, records, losses, options, 10, frozen=frozen)
    plain, turned = (training._samples[_key(0, mirrored)] for mirrored in (False, True))
    assert torch.equal(plain.truth.masks.flip(-1), turned.truth.masks)
    assert torch.equal(plain.truth.triples, turned.truth.triples)
    assert not torch.equal(plain.features.features[0], turned.features.features[0])
    finest = plain.features.features[0].flip(-1)
    near = (finest - turned.features.features[0]).abs().mean() / finest.abs().mean()
    assert near < 0.5, "features of the mirrored image are about the mirrored features"
    if frozen:
        boxes = [nodes.boxes for nodes in (training._proposals[_key(0, flag)].nodes[0] for flag in (False, True))]
        assert torch.allclose(boxes[0][:, [1, 3]], boxes[1][:, [1, 3]], atol=1e-5)
        assert torch.allclose(1 - boxes[0][:, [2, 0]], boxes[1][:, [0, 2]], atol=1e-5)
