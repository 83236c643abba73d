from __future__ import annotations

import gzip
import json
import shutil

import pytest

from spade.core.errors import SpadeError
from spade.data.psg_reader import load_psg
from spade.training.split import validation_split


def record(number, relations=((0, 1, 0),), **changes):
    return {
        "file_name": f"images/{number}.jpg",
        "pan_seg_file_name": f"panoptic/{number}.png",
        "height": 10,
        "width": 20,
        "image_id": str(number),
        "coco_image_id": str(number // 2),
        "segments_info": [
            {"id": 5, "category_id": 0, "iscrowd": 0, "isthing": 1, "area": 4},
            {"id": 6, "category_id": 2, "area": 9},
        ],
        "annotations": [
            {"bbox": [0, 0, 2, 2], "bbox_mode": 0, "category_id": 0},
            {"bbox": [0, 5, 20, 10], "category_id": 2},
        ],
        "relations": [list(triple) for triple in relations],
    } | changes


def document(records, **changes):
    classes = {"thing_classes": ["person", "dog"], "stuff_classes": ["sky"], "predicate_classes": ["on", "over"]}
    return {"data": records, "test_image_ids": ["1"]} | classes | changes


def write(folder, data, name="psg.json"):
    folder.mkdir(exist_ok=True, parents=True)
    text = data if isinstance(data, (str, bytes)) else json.dumps(data)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_records_splits_and_quirks(tmp_path):
    triples = [(0, 1, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1)]
    dataset = load_psg(write(tmp_path, document([record(0, triples), record(1), record(2)])))
    assert [r.image_id for r in dataset.split("train")] == ["0", "2"]
    assert [r.image_id for r in dataset.split("test")] == ["1"]
    assert dataset.classes == ("person", "dog", "sky")
    first = dataset.records[0]
    assert first.relations == tuple(triples)
    assert first.distinct_triples() == ((0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1))
    assert first.training_triples() == ((0, 1, 0), (0, 1, 1), (1, 0, 1))
    assert first.segments[1].is_thing is False
    assert first.segments[1].bbox == (0, 5, 20, 10)
    assert dataset.image_path(first) == tmp_path / "images" / "0.jpg"


@pytest.mark.parametrize("name", ["psg.json", "psg_train_val.json", "psg_val_test.json"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_file_name_plain_and_packed(tmp_path, name, packed):
    write(tmp_path, document([record(0)]), name)
    if packed:
        plain = tmp_path / name
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    assert len(load_psg(tmp_path).records) == 1
    assert len(load_psg(next(tmp_path.iterdir())).records) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"relations": [[0, 2, 0]]}, "out of range"),
        ({"relations": [[0, 1, 2]]}, "out of range"),
        ({"relations": [[0, -1, 0]]}, "out of range"),
        ({"annotations": []}, "segments_info has 2 entries and annotations 0"),
        ({"width": 0}, "size 0 x 10"),
        ({"width": 10**400}, "size 1000"),
        ({"image_id": "0"}, "image_id 0 occurs twice"),
        ({"segments_info": [{"id": 5, "category_id": 9, "area": 1}] * 2}, "category_id 9 is out of range"),
        (
            {"segments_info": [{"id": 5, "category_id": c, "area": 1} for c in (0, 2)]},
            "segment id 5 occurs twice",
        ),
    ],
)
def test_a_bad_record_is_left_out_and_named(tmp_path, changes, why):
    dataset = load_psg(write(tmp_path, document([record(0), record(1, **changes)])))
    assert [r.image_id for r in dataset.records] == ["0"]
    assert len(dataset.problems) == 1
    assert "record 1 left out" in dataset.problems[0]
    assert why in dataset.problems[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [', r"psg\.json: is not valid json"),
        ("[]", "is not PSG.s object"),
        ("[" * 100_000, "is not PSG's object"),
        ('{"data": [{"width": NaN}]}', "is not valid json"),
        (
            json.dumps(document([])).encode().replace(b'"dog"', b'"\xff"'),
            "thing_classes cannot be read|is not valid json",
        ),
        (json.dumps(document([], thing_classes="x")), "no list of names under thing_classes"),
        (json.dumps(document([], thing_classes=["a", " "])), "name 1 .from 0. under thing_classes is blank"),
        (json.dumps(document({})), "no list under data"),
        (json.dumps(document([], stuff_classes=["dog"])), 'the class "dog" is listed twice'),
        (json.dumps(document([], predicate_classes=["on", "on"])), 'the predicate "on" is listed twice'),
        (json.dumps(document([], predicate_classes=[])), "lists no predicate"),
        (json.dumps(document([], thing_classes=[], stuff_classes=[])), "lists no class"),
        (json.dumps(document([record(0)], test_image_ids=5)), "test_image_ids is a int, not a list"),
        (json.dumps(document([record(0, file_name="a" * 300)])), "is too long for a file system"),
        (json.dumps(document([])), "holds no record"),
        (json.dumps(document([record(0, file_name="../x.jpg")])), "leaves its folder"),
        (json.dumps(document([record(0, pan_seg_file_name="/etc/x.png")])), "leaves its folder"),
        ('{"images": [], "annotations": [], "categories": []}', "is a COCO annotation file; it has no relations"),
    ],
)
def test_unusable_files_are_one_sentence(tmp_path, text, message):
    with pytest.raises(SpadeError, match=message):
        load_psg(write(tmp_path, text))


def test_missing_places(tmp_path):
    with pytest.raises(SpadeError, match=r"no such data set; .* spade world"):
        load_psg(tmp_path / "none")
    with pytest.raises(SpadeError, match=r"holds none of psg\.json"):
        load_psg(tmp_path)
    (tmp_path / "psg.json.gz").write_bytes(b"\x1f\x8brubbish")
    with pytest.raises(SpadeError, match=r"psg\.json\.gz: (cannot be read|is not valid json)"):
        load_psg(tmp_path)
    write(tmp_path / "a", document([record(0)]))
    with pytest.raises(SpadeError, match="no such image folder; name it with `images`"):
        load_psg(tmp_path / "a", tmp_path / "b")


def test_fingerprint_sees_annotations_and_sizes_but_not_the_place(world, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    first, second = load_psg(world), load_psg(copy)
    assert first.fingerprint(list(first.records)) == second.fingerprint(list(second.records))
    second.image_path(second.records[0]).write_bytes(b"x")
    changed = second.fingerprint(list(second.records))
    assert changed != first.fingerprint(list(first.records))
    second.image_path(second.records[0]).unlink()
    assert second.fingerprint(list(second.records)) not in (changed, first.fingerprint(list(first.records)))


def test_the_validation_part_is_fixed_and_keeps_images_annotated_twice_together(tmp_path):
    dataset = load_psg(write(tmp_path, document([record(i) for i in range(40)])))
    learned, validation = validation_split(list(dataset.records))
    assert len(validation) == 4
    assert not {r.coco_image_id for r in learned} & {r.coco_image_id for r in validation}
    assert validation_split(list(reversed(dataset.records)))[1] == list(reversed(validation))
    assert validation_split(list(dataset.records[:1])) == ([dataset.records[0]], [])


def test_real_records(shared):
    dataset = load_psg(shared / "data" / "psg_train_subset" / "psg_subset.json.gz")
    assert (len(dataset.records), len(dataset.split("test"))) == (23_128, 1_200)
    assert sum(len(r.segments) for r in dataset.records) == 273_110
    assert sum(len(r.relations) for r in dataset.records) == 143_376
    assert sum(len(r.relations) - len(r.distinct_triples()) for r in dataset.records) == 762
    assert sum(s == o for r in dataset.records for s, o, _ in r.relations) == 140
    assert sum(s.is_crowd for r in dataset.records for s in r.segments) == 2_354
    assert dataset.problems == ()


def test_coco_panoptic_is_recognised(shared):
    with pytest.raises(SpadeError, match=r"panoptic\.json: is a COCO annotation file; it has no relations"):
        load_psg(shared / "data" / "coco_panoptic_sample")


def test_training_knows_nothing_of_novel_names(tmp_path):
    whole = document([record(0, [(0, 1, 0), (0, 1, 1), (1, 0, 1)])], novel={"objects": ["dog"], "predicates": ["on"]})
    dataset = load_psg(write(tmp_path, whole))
    assert dataset.classes == ("person", "dog", "sky"), "evaluation needs all names"
    seen = dataset.for_training()
    assert (seen.classes, seen.predicates) == (("person", "sky"), ("over",))
    assert [s.category for s in seen.records[0].segments] == [0, 1], "counted anew"
    assert seen.records[0].relations == ((0, 1, 0), (1, 0, 0))
    assert seen.for_training() is seen


def test_segments_of_novel_names_are_dropped_with_their_relations(tmp_path):
    dataset = load_psg(write(tmp_path, document([record(0, [(0, 1, 0)])], novel={"objects": ["person"]})))
    seen = dataset.for_training().records[0]
    assert [(s.id, s.category) for s in seen.segments] == [(6, 1)]
    assert seen.relations == ()


@pytest.mark.parametrize(
    "novel",
    [
        ["dog"],
        {"objects": "dog"},
        {"objects": ["cat"]},
        {"things": ["dog"]},
        {"predicates": ["dog"]},
        {"objects": [["dog"]]},
        {"things": []},
        {"predicates": ["on", "over"]},
    ],
)
def test_novel_names_that_are_none_are_refused(tmp_path, novel):
    with pytest.raises(SpadeError, match="novel"):
        load_psg(write(tmp_path, document([record(0)], novel=novel)))


def test_training_knows_that_a_pair_is_related_by_a_name_it_must_not_see(tmp_path):
    triples = [(0, 1, 1), (1, 0, 0), (1, 0, 1)]
    dataset = load_psg(write(tmp_path, document([record(0, triples)], novel={"predicates": ["over"]})))
    (seen,) = dataset.for_training().records
    assert seen.relations == ((1, 0, 0),)
    assert seen.hidden_pairs == ((0, 1), (1, 0))
    assert seen.learned_triples() == ((1, 0, 0), (0, 1, -1)), "what is annotated of a pair counts"
    assert dataset.records[0].hidden_pairs == ()
