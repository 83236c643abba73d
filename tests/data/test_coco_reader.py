"""COCO with relations is read as what it is, bad files included."""

from __future__ import annotations

import json
import shutil

import pytest

from spade.core.errors import SpadeError
from spade.data.readers import is_dataset, load_dataset
from spade.data.samples import annotated_ids, annotated_regions
from tests.data.miniatures import boxes, write_coco


@pytest.fixture(scope="module")
def coco(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("formats") / "coco"
    return out, write_coco(world, out)


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


def related(document):
    return document["rel_annotations"][0]


def edited(folder, tmp_path, change):
    shutil.copytree(folder, tmp_path / "coco")
    document = json.loads((folder / "train.json").read_text())
    change(document)
    (tmp_path / "coco" / "train.json").write_text(json.dumps(document))
    return tmp_path / "coco"


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


def test_what_to_name_to_open_it_again(coco):
    assert load_dataset(coco[0]).opened_as == coco[0]
    assert load_dataset(coco[0] / "test.json").opened_as == coco[0] / "test.json"
