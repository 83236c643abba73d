"""Visual Genome's VG150 is read as what it is, quirks and bad files included."""

from __future__ import annotations

import json
import re
import shutil

import h5py
import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.data.readers import is_dataset, load_dataset
from spade.data.samples import annotated_regions, checked_image
from tests.data.miniatures import boxes, write_vg

H5 = "VG-SGG-with-attri.h5"


@pytest.fixture(scope="module")
def vg(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("formats") / "vg"
    return out, write_vg(world, out)


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


def test_boxes_of_other_formats_are_never_shares(vg, tmp_path):
    def change(file):
        table = file["boxes_1024"][()]
        last = int(file["img_to_last_box"][0])
        table[: last + 1] = (4, 4, 8, 8)
        file["boxes_1024"][...] = table

    record = load_dataset(altered(vg[0], tmp_path, change)).records[0]
    assert {segment.bbox for segment in record.segments} == {(0.0, 0.0, 1.0, 1.0)}


def test_what_to_name_to_open_it_again(vg):
    assert load_dataset(vg[0]).opened_as == vg[0] / H5
