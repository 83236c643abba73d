"""Visual Genome's h5 and COCO with relations are read as what they are, quirks and bad files included."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.data.readers import is_dataset, load_dataset
from spade.data.samples import annotated_ids, annotated_regions, checked_image
from tests.data.miniatures import write_coco, write_vg

H5 = "VG-SGG-with-attri.h5"


@pytest.fixture(scope="module")
def vg(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("formats") / "vg"
    return out, write_vg(world, out)


@pytest.fixture(scope="module")
def coco(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("formats") / "coco"
    return out, write_coco(world, out)


def boxes(record):
    return [segment.bbox for segment in record.segments]


def test_vg150_is_the_world_that_was_written(vg):
    folder, world = vg
    found = load_dataset(folder)
    assert is_dataset(folder)
    assert (found.has_masks, found.is_world, found.stuff) == (False, False, ())
    assert (found.classes, found.predicates) == (world.classes, world.predicates)
    assert len(found.records) == len(world.records)
    assert [len(found.split(name)) for name in ("train", "val", "test")] == [15, 1, 4]
    copies = 3
    for ours, theirs in zip(found.records[:-1], world.records, strict=False):
        assert ours.image_id == str(100_000 + int(theirs.image_id))
        assert [s.category for s in ours.segments] == [s.category for s in theirs.segments]
        if theirs.image_id not in ("2", "4"):  # one has another size there, a box of the other leaves the image
            assert boxes(ours) == [tuple(map(float, box)) for box in boxes(theirs)], "8 x scale holds 128 pixels"
        assert all(segment.is_thing for segment in ours.segments)
        added, copies = (copies, 0) if theirs.relations else (0, copies)
        assert ours.relations[: len(theirs.relations)] == theirs.relations
        assert len(ours.relations) == len(theirs.relations) + added
        assert set(ours.training_triples()) >= set(theirs.training_triples())
    assert found.records[-1].segments == ()
    (note,) = found.notes
    for words in (
        "1 copies of a relation",
        "1 relations of a box with itself",
        "further predicates of a pair",
        "1 images without a box",
        "boxes that leave their image by a pixel or more, cut at its edge",
    ):
        assert words in note
    assert found.records[4].segments[0].bbox[2] == 128.0
    for place, message in ((1, "is cut off|cannot be decoded|truncated"), (2, "annotation says 120 x 128")):
        with pytest.raises(SpadeError, match=message):
            checked_image(found, found.records[place])
    assert checked_image(found, found.records[0]).size == (128, 128)
    regions = annotated_regions(found, found.records[0])
    assert regions.masks().shape == (len(found.records[0].segments), 128, 128)


def test_the_coarse_scale_is_read_where_there_is_no_other(vg, tmp_path):
    folder, _ = vg
    shutil.copytree(folder, tmp_path / "vg")
    with h5py.File(tmp_path / "vg" / H5, "a") as file:
        del file["boxes_1024"]
    for ours, theirs in zip(load_dataset(tmp_path / "vg").records, load_dataset(folder).records, strict=True):
        assert np.allclose(np.array(boxes(ours)), np.array(boxes(theirs)), atol=0.25)


def test_images_may_lie_in_the_two_folders_of_the_download(vg, tmp_path):
    folder, _ = vg
    shutil.copytree(folder, tmp_path / "vg")
    (tmp_path / "vg" / "VG_100K_2").mkdir()
    shutil.move(tmp_path / "vg" / "VG_100K" / "100003.jpg", tmp_path / "vg" / "VG_100K_2" / "100003.jpg")
    found = load_dataset(tmp_path / "vg")
    assert found.records[3].file_name == "VG_100K_2/100003.jpg"
    assert all(found.image_path(record).is_file() for record in found.records)
    elsewhere = load_dataset(folder / H5, images=tmp_path / "vg" / "VG_100K")
    assert elsewhere.records[0].file_name == "100000.jpg"


def altered(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "vg")
    with h5py.File(tmp_path / "vg" / H5, "a") as file:
        change(file)
    return tmp_path / "vg"


def put(name, row, value):
    def change(file):
        column = file[name][()]
        column[row] = value
        file[name][...] = column

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("labels", 0, 26), r"its labels go from 1 to 26, the dictionaries name 1 to 25"),
        (put("predicates", 0, 0), r"its predicates go from 0 to \d+, the dictionaries name 1 to 23"),
        (lambda f: f.pop("split"), r"is no whole h5 file of VG150 \(.*split"),
        (put("img_to_last_box", 0, 20), r"two of its images share rows \(img_to_first_box\)"),
        (lambda f: (f.pop("labels"), f.create_dataset("labels", data=np.ones((3, 1), int))), "do not fit one another"),
    ],
)
def test_tables_that_do_not_fit(vg, tmp_path, change, message):
    with pytest.raises(SpadeError, match=message) as caught:
        load_dataset(altered(vg[0], tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("boxes_1024", 0, (5000, 50, 10, 10)), r"record 0 left out \(box 0 lies outside its image of 128 x 128\)"),
        (put("boxes_1024", 0, (50, 50, -10, 10)), r"record 0 left out .* lies before"),
        (put("relationships", 0, (0, 9999)), r"left out \(relations\[0\] .* is out of range"),
        (put("img_to_last_box", 18, 99999), r"record 18 left out \(boxes \d+ to 99999, .* no such rows"),
    ],
)
def test_a_bad_row_costs_its_image_alone(vg, tmp_path, change, message):
    whole, found = load_dataset(vg[0]), load_dataset(altered(vg[0], tmp_path, change))
    assert len(found.records) == len(whole.records) - 1
    (problem,) = found.problems
    import re

    assert re.search(message, problem), problem


def test_damaged_files_of_vg150(vg, tmp_path):
    shutil.copytree(vg[0], tmp_path / "vg")
    h5 = tmp_path / "vg" / H5
    whole = h5.read_bytes()
    h5.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SpadeError, match=r"is no whole h5 file of VG150"):
        load_dataset(tmp_path / "vg")
    h5.write_bytes(whole)
    dicts = tmp_path / "vg" / "VG-SGG-dicts-with-attri.json"
    kept = dicts.read_text()
    dicts.write_text(kept.replace('"person": 1', '"person": 77'))
    with pytest.raises(SpadeError, match="label_to_idx does not number its names from 1 on"):
        load_dataset(tmp_path / "vg")
    dicts.unlink()
    with pytest.raises(SpadeError, match=r"dicts-with-attri\.json: no such list of names; fetch"):
        load_dataset(tmp_path / "vg")
    dicts.write_text(kept)
    sizes = tmp_path / "vg" / "image_data.json"
    sizes.write_text(json.dumps(json.loads(sizes.read_text())[:-5]))
    with pytest.raises(
        SpadeError, match=r"lists 17 images without the 4 corrupt ones, and VG-SGG-with-attri\.h5 has 20"
    ):
        load_dataset(tmp_path / "vg")


def test_coco_with_masks_is_the_psg_form(coco):
    folder, world = coco
    found = load_dataset(folder)
    assert is_dataset(folder)
    assert found.has_masks
    assert (found.things, found.stuff, found.predicates) == (world.things, world.stuff, world.predicates)
    by_id = {record.image_id: record for record in found.records}
    assert {r.image_id for r in found.split("test")} == {r.image_id for r in world.split("test")}
    for theirs in world.records:
        ours = by_id[theirs.image_id]
        assert ours.relations == theirs.relations
        assert boxes(ours) == boxes(theirs)
        assert [(s.category, s.is_thing, s.area) for s in ours.segments] == [
            (s.category, s.is_thing, s.area) for s in theirs.segments
        ]
        same = annotated_regions(found, ours).masks() == annotated_regions(world, theirs).masks()
        assert same.all(), "masks that do not overlap are the panoptic map"
        assert annotated_ids(found, ours).max() == len(ours.segments)
        assert found.image_path(ours).is_file()


def test_coco_without_masks_has_boxes(world, tmp_path):
    write_coco(world, tmp_path / "coco", masks=False)
    found = load_dataset(tmp_path / "coco")
    assert not found.has_masks
    assert found.stuff, "the file says what is stuff"
    assert len(load_dataset(tmp_path / "coco" / "test.json").records) == 4


def edited(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "coco")
    document = json.loads((folder / "train.json").read_text())
    change(document)
    (tmp_path / "coco" / "train.json").write_text(json.dumps(document))
    return tmp_path / "coco"


def related(document):
    return document["rel_annotations"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: related(d).update(object_id=99999), "a relation names annotation 99999, which its image does not"),
        (lambda d: related(d).update(predicate_id=99), "predicate_id 99 is the id of none of its rel_categories"),
        (lambda d: related(d).pop("subject_id"), "subject_id"),
        (lambda d: d["annotations"][0].update(category_id=1), "category_id 1 is the id of none of its categories"),
        (lambda d: d["annotations"][0].update(bbox=[500, 0, 9, 9]), "leaves the image of 128 x 128"),
        (lambda d: d["annotations"][0].update(segmentation=[]), "has boxes alone, and others do not"),
        (lambda d: d["annotations"][1].update(id=d["annotations"][0]["id"]), "has two annotations of one id"),
        (lambda d: d["images"][0].update(file_name="../x.png"), "leaves its folder"),
        (lambda d: d["images"][0].pop("width"), "width is missing"),
    ],
)
def test_a_bad_coco_row_costs_its_image_alone(coco, tmp_path, change, message):
    found = load_dataset(edited(coco[0], tmp_path, change))
    assert len(found.records) == len(load_dataset(coco[0]).records) - 1
    (problem,) = found.problems
    assert message in problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("rel_categories"), "has no rel_categories"),
        (lambda d: d["categories"].pop(), "lists other categories than"),
        (lambda d: d["categories"].append(dict(d["categories"][0])), "two categories of one id"),
        (lambda d: d["annotations"].append({"id": 1}), r"annotations\[\d+\]: "),
        (lambda d: [a.update(segmentation=[]) for a in d["annotations"]], "has boxes alone, and .* has masks"),
    ],
)
def test_a_coco_file_that_cannot_be_used(coco, tmp_path, change, message):
    with pytest.raises(SpadeError, match=message) as caught:
        load_dataset(edited(coco[0], tmp_path, change))
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_is_named(coco, tmp_path):
    def change(document):
        document["annotations"][0]["segmentation"]["size"] = [10, 10]

    found = load_dataset(edited(coco[0], tmp_path, change))
    with pytest.raises(SpadeError, match="a mask is 10 x 10, the image 128 x 128; give its masks as COCO has them"):
        [annotated_ids(found, record) for record in found.records]


def test_a_truncated_coco_file(coco, tmp_path):
    shutil.copytree(coco[0], tmp_path / "coco")
    text = (tmp_path / "coco" / "train.json").read_text()
    (tmp_path / "coco" / "train.json").write_text(text[: len(text) - 2000])
    with pytest.raises(SpadeError, match=r"train\.json: is not valid json"):
        load_dataset(tmp_path / "coco")


def test_two_files_of_a_split_or_images_of_one_number(coco, tmp_path):
    shutil.copytree(coco[0], tmp_path / "coco")
    shutil.copy(tmp_path / "coco" / "train.json", tmp_path / "coco" / "train2.json")
    with pytest.raises(SpadeError, match="are both of the split train; name one file"):
        load_dataset(tmp_path / "coco")
    (tmp_path / "coco" / "train2.json").unlink()
    shutil.copy(tmp_path / "coco" / "train.json", tmp_path / "coco" / "val.json")
    found = load_dataset(tmp_path / "coco")
    assert [len(found.split(name)) for name in ("train", "val", "test")] == [16, 16, 4]
    assert found.split("val")[0].image_id == f"val-{found.split('train')[0].image_id}"
    assert annotated_ids(found, found.split("val")[0]).any()


def test_a_split_that_is_damaged_or_empty_is_told(coco, tmp_path):
    for number, cut in enumerate((0, 60)):
        shutil.copytree(coco[0], tmp_path / str(number))
        path = tmp_path / str(number) / "test.json"
        path.write_text(path.read_text()[:cut])
        with pytest.raises(SpadeError, match=r"test\.json: is (not valid json|an empty file)"):
            load_dataset(tmp_path / str(number))


def test_rows_of_images_that_the_file_does_not_list_are_told(coco, tmp_path):
    def change(document):
        for row in document["rel_annotations"][:3]:
            row["image_id"] = 12345
        document["annotations"][-1]["image_id"] = "elsewhere"

    found = load_dataset(edited(coco[0], tmp_path, change))
    told = [p for p in found.problems if "of images that it does not list" in p]
    assert "3 rel_annotations left out" in " ".join(told)
    assert "1 annotations left out, of images that it does not list (image_id elsewhere)" in " ".join(told)


def test_names_of_splits_are_words(tmp_path):
    from spade.data.coco_reader import _split

    names = ("train", "instances_train2017", "val", "validation", "TEST", "my-testing", "latest", "constraints", "all")
    found = [_split(tmp_path / f"{name}.json") for name in names]
    assert found == ["train", "train", "val", "val", "test", "test", "all", "all", "all"]


def test_an_image_without_annotations_has_no_segment(coco, tmp_path):
    def change(document):
        document["images"].append({"id": 777.0, "file_name": "x.png", "width": 10, "height": 8})

    found = load_dataset(edited(coco[0], tmp_path, change))
    empty = next(record for record in found.records if record.image_id == "777")
    assert annotated_ids(found, empty).shape == (8, 10)


def test_boxes_of_other_formats_are_never_shares(vg, tmp_path):
    def change(file):
        table = file["boxes_1024"][()]
        last = int(file["img_to_last_box"][0])
        table[: last + 1] = (4, 4, 8, 8)
        file["boxes_1024"][...] = table

    record = load_dataset(altered(vg[0], tmp_path, change)).records[0]
    assert {segment.bbox for segment in record.segments} == {(0.0, 0.0, 1.0, 1.0)}


def test_what_to_name_to_open_it_again(coco, vg):
    assert load_dataset(coco[0]).opened_as == coco[0]
    assert load_dataset(coco[0] / "test.json").opened_as == coco[0] / "test.json"
    assert load_dataset(vg[0]).opened_as == vg[0] / H5
