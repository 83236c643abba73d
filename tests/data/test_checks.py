"""Annotation that contradicts itself is converted and said, or left out and named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.checks import RecordError, check_map, check_pixels, checked_record, thing_flag
from spade.data.psg_reader import load_psg
from spade.data.samples import annotated_ids
from spade.steps import evaluate
from spade.steps.common import Run
from spade.steps.config import EvalConfig
from spade.structures.panoptic_png import ids_to_rgb
from tests.data.test_psg import document, record, write

LISTS = (("person", "dog"), ("sky",), ("on", "over"))


def boxes(*values, mode=0):
    rows = zip(values, (0, 2), strict=True)
    return {"annotations": [{"bbox": box, "bbox_mode": mode, "category_id": category} for box, category in rows]}


def test_boxes_of_either_mode_and_in_shares_are_the_same():
    plain, none = checked_record(record(0, **boxes([0, 0, 2, 2], [0, 5, 20, 10])), *LISTS)
    wide, told = checked_record(record(0, **boxes([0, 0, 2, 2], [0, 5, 20, 5], mode=1)), *LISTS)
    shares, said = checked_record(record(0, **boxes([0, 0, 0.1, 0.2], [0, 0.5, 1, 1])), *LISTS)
    assert [s.bbox for s in plain.segments] == [s.bbox for s in wide.segments] == [s.bbox for s in shares.segments]
    assert (len(none), len(told), len(said)) == (0, 1, 1)
    assert "bbox_mode 1" in told[0]
    assert "shares of the image" in said[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (boxes([2, 2, 0, 0], [0, 5, 20, 10]), r"annotations\[0\].bbox \[2, 2, 0, 0\]: x2 or y2 lies before"),
        (boxes([0, 0, 200, 2], [0, 5, 20, 10]), r"annotations\[0\].bbox \[0, 0, 200, 2\] leaves the image of 20 x 10"),
        (boxes([0, 0, 2, 2], [0, 5, 20, 10], mode=7), "bbox_mode 7 is unknown; use 0 for x1, y1, x2, y2"),
        (boxes([0, 0, 2], [0, 5, 20, 10]), "give four numbers"),
        (boxes([0, 0, 2, "x"], [0, 5, 20, 10]), "give four numbers"),
        (boxes([0, 0, 2, float("inf")], [0, 5, 20, 10]), "give four numbers"),
        ({"annotations": [{"bbox": [0, 5, 20, 10], "category_id": 2}, {"bbox": [0, 0, 2, 2], "category_id": 0}]},
         r"segments_info\[0\] is of category 0 and annotations\[0\] of 2; give both lists in one order"),
        ({"relations": [[5, 6, 0]]}, r"relations\[0\] \[5, 6, 0\] is out of range; these are ids of segments"),
        ({"relations": [[0, 1, 2]]}, "are predicates counted from 1"),
        ({"relations": [["person", 1, 0]]}, "has a name; give indices from 0"),
        ({"relations": [[0, 1]]}, r"relations\[0\] \[0, 1\]; give \[subject, object, predicate\]"),
        ({"relations": [[0, 1.5, 0]]}, "as indices from 0"),
        ({"segments_info": None}, "segments_info is NoneType, not a list"),
        ({"segments_info": [{"id": 5, "category_id": 0, "area": "much"}, {"id": 6, "category_id": 2, "area": 9}]},
         r"segments_info\[0\].area 'much'; give a whole number"),
        ({"segments_info": [{"category_id": 0}, {"id": 6, "category_id": 2, "area": 9}]},
         r"segments_info\[0\].id is missing"),
        ({"width": 10, "height": 20}, "leaves the image of 10 x 20; are width and height exchanged"),
        (boxes([0, 0, 0, 0], [0, 0, 0, 0]), r"segments_info\[1\].area 9 is more than its box of 0 x 0 holds"),
        ({"width": "wide"}, "width 'wide'; give a whole number"),
        ({"width": "--128"}, "width '--128'; give a whole number"),
        ({"file_name": None}, "file_name 'None'; give a path below the image folder"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused_by_field_value_and_form(changes, message):
    with pytest.raises(RecordError, match=message):
        checked_record(record(0, **changes), *LISTS)


def test_a_field_that_nothing_needs_is_optional():
    row = record(0)
    for name in ("relations", "image_id", "coco_image_id"):
        del row[name]
    del row["segments_info"][0]["area"]
    made, told = checked_record(row, *LISTS)
    assert (made.relations, made.image_id, made.coco_image_id) == ((), "images/0.jpg", "images/0.jpg")
    assert [segment.area for segment in made.segments] == [4, 9]
    assert told == [
        "areas are missing; those of the boxes stand for them",
        "relations are missing, and count as none",
        "image_id is missing, and is the file_name",
    ]


def test_null_is_as_if_it_were_not_there_and_numbers_may_be_text():
    infos = [{"id": "5", "category_id": "0", "area": None}, {"id": 6, "category_id": 2, "area": 9}]
    annotations = [{"bbox": [0, 0, 2, 2], "category_id": "0"}, {"bbox": [0, 5, 20, 10], "category_id": None}]
    made, _ = checked_record(record(0, segments_info=infos, annotations=annotations) | {"relations": None}, *LISTS)
    assert [(s.id, s.category, s.area) for s in made.segments] == [(5, 0, 4), (6, 2, 9)]
    assert made.relations == ()


def test_a_segment_says_itself_whether_it_is_a_thing():
    infos = [
        {"id": 5, "category_id": 0, "area": 1, "isthing": "0"},
        {"id": 6, "category_id": 2, "area": 1, "isthing": True},
    ]
    made, (told,) = checked_record(record(0, segments_info=infos), *LISTS)
    assert [s.is_thing for s in made.segments] == [False, True]
    assert told == "isthing of a segment is not what the class lists say, and counts"
    assert [thing_flag(v) for v in (0, 1, "0", "1", False, True, "true", "False", None, "maybe", 2, 1.0)] == [
        False, True, False, True, False, True, True, False, None, None, None, True,
    ]  # fmt: skip


def test_a_file_of_which_most_is_wrong_is_refused(tmp_path):
    good, bad = record(0), [record(n, **boxes([2, 2, 0, 0], [0, 5, 20, 10])) for n in (1, 2)]
    with pytest.raises(SpadeError, match=r"2 of its 3 records cannot be used \(.*x2 or y2 lies before"):
        load_psg(write(tmp_path / "most", document([good, *bad])))
    half = load_psg(write(tmp_path / "half", document([good, bad[0]])))
    assert (len(half.records), len(half.problems)) == (1, 1)


def test_conversions_are_counted(tmp_path):
    rows = [record(n, **boxes([0, 0, 2, 2], [0, 5, 20, 5], mode=1)) for n in range(3)]
    (note,) = load_psg(write(tmp_path, document(rows))).notes
    assert "3 records: boxes given as x, y, width, height (bbox_mode 1) were read as x1, y1, x2, y2" in note


def test_predicates_counted_from_one_are_refused(tmp_path):
    rows = [record(n, relations=[[0, 1, n + 1]]) for n in range(2)]
    with pytest.raises(SpadeError, match=r"its predicates are counted from 1 \(1 to 2, of 2\); subtract 1 from each"):
        load_psg(write(tmp_path, document(rows)))


def test_categories_counted_from_one_are_refused(tmp_path):
    infos = [{"id": 5, "category_id": 1, "area": 1}, {"id": 6, "category_id": 3, "area": 1}]
    annotations = [{"bbox": [0, 0, 2, 2]}, {"bbox": [0, 5, 20, 10]}]
    with pytest.raises(SpadeError, match=r"its categories are counted from 1 \(1 to 3, of 3\); subtract 1 from each"):
        load_psg(write(tmp_path, document([record(0, segments_info=infos, annotations=annotations)])))


def test_test_images_that_are_not_there_are_told(tmp_path):
    rows = [record(n) for n in range(3)]
    (note,) = load_psg(write(tmp_path, document(rows, test_image_ids=["0", "7", "8"]))).notes
    assert "2 of 3 test_image_ids are the image_id of no record" in note


def test_class_names_with_control_characters_are_refused(tmp_path):
    lists = {"predicate_classes": ["on", "ov\x1ber"]}
    with pytest.raises(SpadeError, match=r"name 1 \(from 0\) under predicate_classes: .* control character '\\x1b'"):
        load_psg(write(tmp_path, document([record(0)], **lists)))


def test_one_path_that_leads_out_is_one_record(tmp_path):
    rows = [record(0), record(1), record(2, file_name="../../x.jpg")]
    dataset = load_psg(write(tmp_path, document(rows)))
    assert len(dataset.records) == 2
    assert "record 2 left out" in dataset.problems[0]
    assert "leaves its folder" in dataset.problems[0]


def test_real_records_pass(shared):
    subset = shared / "data" / "psg_train_subset" / "psg_subset.json.gz"
    dataset = load_psg(subset, subset.parent)
    assert (len(dataset.records), dataset.problems, dataset.notes) == (23_128, (), ())


def planes(ids):
    rgb = ids_to_rgb(ids)
    return rgb[..., 0], rgb[..., 1], rgb[..., 2]


def test_a_map_of_other_ids_is_refused(tmp_path):
    one = load_psg(write(tmp_path, document([record(0)]))).records[0]
    ids = np.zeros((10, 20), np.uint32)
    ids[:, :4], ids[:, 4:] = 5, 6
    check_map(one, planes(ids), "a.png")
    check_map(one, planes(np.where(ids == 6, 0, ids)), "a.png")  # one of two is there: PSG has such
    check_pixels(1, 4, "a.png", "image 0")
    with pytest.raises(SpadeError, match=r"a\.png: 2 of 4 segments of image 0 have no pixel in it"):
        check_pixels(2, 4, "a.png", "image 0")
    with pytest.raises(SpadeError, match=r"a\.png: 2 of 2 segments of image 0 have no pixel in it"):
        check_map(one, planes(ids + 300), "a.png")


def test_repaired_maps_are_evaluated_anew(world, tmp_path):
    """Of the same number of bytes: contents are compared."""
    data, run = tmp_path / "psg", Run(Workspace(tmp_path / "w"))
    shutil.copytree(world, data)
    before = evaluate.run(EvalConfig(data=data), run)
    dataset = load_psg(data)
    target = dataset.panoptic_path(dataset.split("test")[0])
    whole = target.read_bytes()
    Image.fromarray(np.asarray(Image.open(target))[..., ::-1].copy()).save(target)
    damaged = evaluate.run(EvalConfig(data=data), run)
    assert not damaged.cached
    assert "have no pixel in it" in damaged.result.metrics["skipped_images"][0]
    target.write_bytes(whole)
    again = evaluate.run(EvalConfig(data=data), run)
    assert again.cached
    assert again.result.metrics["PQ"] == before.result.metrics["PQ"]


def test_bbox_modes_give_the_same_figures(world, tmp_path):
    shutil.copytree(world, tmp_path / "psg")
    text = json.loads((tmp_path / "psg" / "psg.json").read_text())
    plain = [s.bbox for r in load_psg(tmp_path / "psg").records for s in r.segments]
    for row in text["data"]:
        for annotation in row["annotations"]:
            x1, y1, x2, y2 = annotation["bbox"]
            annotation |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "bbox_mode": 1}
    (tmp_path / "psg" / "psg.json").write_text(json.dumps(text))
    converted = load_psg(tmp_path / "psg")
    assert [s.bbox for r in converted.records for s in r.segments] == plain
    assert annotated_ids(converted, converted.records[0]).any()
