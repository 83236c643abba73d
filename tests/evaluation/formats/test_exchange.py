"""The exchange format: written, read back, checked against its schema, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from spade.core.errors import SpadeError
from spade.evaluation.formats.exchange import Exchange
from spade.evaluation.formats.exchange_writer import exchange_header, exchange_row
from spade.evaluation.formats.sources import open_predictions
from spade.evaluation.scoring.predicted_image import from_prediction
from spade.structures.mask_stack import write_masks
from spade.structures.panoptic_png import write_panoptic
from spade.structures.scene_graph import Prediction, SceneGraph, Segment
from tests.evaluation.formats.exchange_files import image, lines

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "predictions.schema.json").read_text())


def test_lines_and_documents_say_the_same(data):
    path = lines(data, image(), image(image_id=2))
    (data.root / "p.json").write_text(json.dumps({"predictions": [image(), image(image_id="2")]}))
    for source in (path, data.root / "p.json"):
        found = open_predictions(source, data).get(data.records[1])
        assert found.image_id == "2"
        assert found.categories.tolist() == [0, 1]
        assert found.rows.triples.tolist() == [[0, 1, 0]]
        assert found.rows.weights.tolist() == pytest.approx([0.72])
        assert (found.layers.maps[0][0] == 5).sum() == 16


def test_what_is_written_is_read_and_keeps_to_the_schema(data):
    ids = np.where(np.arange(8) < 4, 5, 6)[None].repeat(4, 0).astype(np.uint32)
    segments = tuple(Segment(i, data.classes[c], c, True, 0.5, (0, 0, 4, 4), 16) for i, c in ((5, 0), (6, 1)))
    graph = SceneGraph("x", 8, 4, segments, (), data.classes, data.predicates, ids)
    prediction = Prediction(graph, np.array([[1, 0]]), np.array([[0.25, 0.5]], np.float32), np.array([0.25]))
    row = exchange_row(data.records[0].image_id, prediction, "m.png")
    header = exchange_header(data.classes, data.predicates, {"name": "m"})
    for part in (header, row):
        jsonschema.validate(part, SCHEMA)
    read, own = Exchange(lines(data, row), data).get(data.records[0]), from_prediction("1", prediction)
    assert read.rows.triples.tolist() == own.rows.triples.tolist() == [[1, 0, 1]]
    assert (read.layers.maps[0][0] == own.layers.maps[0]).all()
    assert read.rows.scores.tolist() == own.rows.scores.tolist()


def test_the_schema_refuses_what_the_reader_refuses():
    for wrong in (
        image(relations=[{"subject": -1, "object": 0, "scores": []}]),
        image(image_id=None),
        {"format": "other", "version": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pan_seg_file_names": ["../m.png"]}, 'image 1: pan_seg_file_names: .*"../m.png" leaves its folder'),
        ({"pan_seg_file_names": ["/etc/passwd"]}, "leaves its folder"),
        ({"pan_seg_file_names": ["none.png"]}, "image 1: pan_seg_file_names: .*none.png: no such panoptic png"),
        ({"pan_seg_file_names": ["p.jsonl"]}, "image 1: pan_seg_file_names: .*cannot be decoded"),
        (
            {"pan_seg_file_names": ["small.png"]},
            "image 1: pan_seg_file_names: .*small.png: this panoptic png is 2 x 2, its image 8 x 4",
        ),
        ({"height": 5}, "image 1: height is 5, that of the image 4"),
        (
            {"segments_info": [{"id": 1, "category_id": 2}]},
            r"image 1: segments_info\[0\].category_id 2 is out of range, there are 2 classes",
        ),
        ({"segments_info": [{"id": 1, "category_id": -1}]}, r"category_id -1 is out of range"),
        (
            {"segments_info": [{"layer": 1, "id": 1, "category_id": 0}], "relations": []},
            r"segments_info\[0\].layer 1 is out of range, there are 1 pngs",
        ),
        (
            {"segments_info": [{"id": 1 << 24, "category_id": 0}], "relations": []},
            r"segments_info\[0\].id 16777216 is out of range",
        ),
        ({"segments_info": [{"id": 5, "category_id": 0}] * 2}, "one id of one layer occurs twice"),
        (
            {"segments_info": [{"id": 5}]},
            r"image 1: Object missing required field `category_id` - at `segments_info\[0\]`",
        ),
        ({"segments_info": [{"id": "5", "category_id": 0}]}, r"Expected `int`, got `str` - at `segments_info\[0\].id`"),
        (
            {"relations": [{"subject": 0, "object": 2, "scores": [1, 0]}]},
            r"relations\[0\].object 2 is out of range, there are 2 segments",
        ),
        ({"relations": [{"subject": -1, "object": 1, "scores": [1, 0]}]}, r"relations\[0\].subject -1 is out of range"),
        (
            {"relations": [{"subject": 0, "object": 1, "scores": [1]}]},
            r"relations\[0\].scores has 1 numbers, the data set 2 predicates",
        ),
        (
            {"relations": [{"subject": 0, "object": 1, "scores": [float("nan"), 0]}]},
            r"image 1: relations\[0\].scores\[0\] nan is not a finite",
        ),
        (
            {"relations": [{"subject": 0, "object": 1, "scores": [float("inf"), 0]}]},
            r"relations\[0\].scores\[0\] inf is not a finite number",
        ),
        (
            {"segments_info": [{"id": 5, "category_id": 0, "score": float("nan")}]},
            r"segments_info\[0\].score nan is not a finite number",
        ),
        ({"relations": None}, "image 1: Expected `array`, got `null` - at `relations`"),
        (
            {"segments_info": [{"id": 0, "category_id": 0}], "relations": []},
            r"segments_info\[0\].id 0 is out of range, .* counted from 1",
        ),
        ({"segments_info": [{"id": 1, "category_id": 10**30}]}, r"segments_info\[0\].category_id"),
        (
            {"segments_info": [{"id": 1, "category_id": 2**63}]},
            r"segments_info\[0\].category_id 9223372036854775808 is out of range",
        ),
        ({"relations": [{"subject": 2**63, "object": 1, "scores": [1, 0]}]}, r"relations\[0\].subject"),
        (
            {"segments_info": [{"id": 1, "category_id": 0, "score": 1e308}]},
            r"Expected `float` <= 1000000.0 - at `segments_info",
        ),
        (
            {"segments_info": [{"id": 1, "category_id": 0, "score": -1}]},
            r"Expected `float` >= 0.0 - at `segments_info\[0\].score`",
        ),
        (
            {"relations": [{"subject": 0, "object": 1, "scores": [1, -1e300]}]},
            r"relations\[0\].scores\[1\] is -1e\+300; scores lie within",
        ),
        (
            {"segments_info": [{"id": 5, "category_id": 0}] * 2001, "relations": []},
            "segments_info: has 2001 entries; at most 2000",
        ),
        (
            {"segments_info": [{"id": 5, "category_id": 0, "bbox": [0, 0, 1, 1]}, {"id": 6, "category_id": 0}]},
            r"segments_info\[1\].bbox: is missing, other segments have one",
        ),
        (
            {"segments_info": [{"id": 5, "category_id": 0, "bbox": [4, 0, 1, 1]}], "relations": []},
            r"segments_info\[0\].bbox: .* is no box",
        ),
        (
            {"image_id": "1", "pan_seg_file_names": ["\ud800.png"]},
            "image 1: .*(malformed|surrogate|escape|UTF-8|utf-8)",
        ),
    ],
)
@pytest.mark.parametrize("form", ["lines", "document"])
def test_a_bad_image_names_itself_and_the_field(data, change, message, form):
    write_panoptic(data.root / "small.png", np.ones((2, 2), np.uint32))
    path = lines(data, image(**change), image(image_id="2"))
    if form == "document":
        path.write_text(json.dumps({"predictions": [image(**change), image(image_id="2")]}))
    predictions = Exchange(path, data)
    with pytest.raises(SpadeError, match=message) as caught:
        predictions.get(data.records[0])
    assert str(caught.value).startswith(f"{path}: image 1: ")
    assert predictions.get(data.records[1]) is not None, "the other image is as good as before"


@pytest.mark.parametrize(
    ("rows", "message", "lenient"),
    [
        ([image(), image()], r"image 1 occurs twice \(line 3\)", ["1"]),
        ([image(), {"relations": []}], "line 3 has no image_id", ["1"]),
        ([image(), json.dumps(image(image_id="2"))[:40]], r"line 3 is not valid json \(it ends too early\)", ["1"]),
        ([image(), "{]"], "line 3 is not valid json", ["1"]),
        ([image(), image(image_id="9")], "image 9 is not in .*psg.json; name the data set", ["1"]),
    ],
)
def test_bad_lines(data, rows, message, lenient):
    path = lines(data, *rows)
    with pytest.raises(SpadeError, match=message):
        open_predictions(path, data)
    passed = open_predictions(path, data, lenient=True)
    assert len(passed.problems) == 1
    assert [r.image_id for r in data.records if passed.get(r) is not None] == lenient


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is an empty file, and no prediction file"),
        ("{", "is not valid json"),
        ("[]", "has no header line and no list under predictions"),
        ('{"predictions": {}}', "no list under predictions"),
        ('{"predictions": [{}]}', r"predictions\[0\] has no image_id"),
        ('{"predictions": [{"image_id": "elsewhere"}]}', "none of its images is in"),
        (
            '{"format": "coco", "version": 1}',
            "its header says 'coco' version 1; this spade reads 'spade-predictions' version 1",
        ),
        ('{"format": "spade-predictions", "version": 2}', "version 2"),
        (
            '{"format": "spade-predictions", "version": 1, "object_classes": ["a"]}',
            "another data set: object_classes has 1 names, .* 2",
        ),
        (
            '{"format": "spade-predictions", "version": 1, "predicate_classes": ["p", "r"]}',
            r'made for another data set: predicate_classes\[1\] is "r", in .* "q"',
        ),
        ('{"format": "spade-predictions", "version": 1, "object_classes": 5}', "object_classes has no names"),
        ("[" * 100_000, "no header line and no list under predictions|not valid json"),
    ],
)
def test_unusable_files_are_one_sentence(data, text, message):
    path = data.root / "p.json"
    path.write_text(text)
    for lenient in (False, True):
        if lenient and "has no image_id" in message:
            continue  # passed over, with all others
        with pytest.raises(SpadeError, match=message):
            open_predictions(path, data, lenient=lenient)


def test_bytes_that_are_no_text(data):
    """One bad line or image is named; with --lenient the others count."""
    path = lines(data, image(), image(image_id="2"))
    good = path.read_bytes()
    path.write_bytes(good.replace(b'["m.png"]', b'["\xff.png"]', 1))
    predictions = open_predictions(path, data)
    with pytest.raises(SpadeError, match=r"(?i)image 1: .*utf-8"):
        predictions.get(data.records[0])
    assert predictions.get(data.records[1]) is not None
    path.write_bytes(good.replace(b'"image_id": "1"', b'"image_id": "\xff"'))
    with pytest.raises(SpadeError, match="line 2 is not valid json"):
        open_predictions(path, data)
    assert open_predictions(path, data, lenient=True).get(data.records[1]) is not None
    path.write_bytes(b'{"predictions": [], "\xff": 1}')
    with pytest.raises(SpadeError, match="is not valid json"):
        open_predictions(path, data)


def test_proposals_are_read_from_a_stack_of_masks(data):
    masks = np.zeros((3, 2, 4), bool)
    masks[0], masks[1, :, 2:] = True, True
    write_masks(data.root / "q.png", masks)
    row = image(proposals={"file_name": "q.png", "count": 3})
    opened = Exchange(lines(data, row), data)
    assert (opened.get(data.records[0]).proposals == masks).all()
    before = opened.fingerprint()
    write_masks(data.root / "q.png", ~masks)
    assert Exchange(lines(data, row), data).fingerprint() != before
    for count in (0, 4, -1):
        bad = Exchange(lines(data, image(proposals={"file_name": "q.png", "count": count})), data)
        with pytest.raises(SpadeError, match=rf"q\.png: is 4 x 6, and no {count} masks of one height"):
            bad.get(data.records[0])
    (data.root / "q.png").unlink()
    assert Exchange(lines(data, row), data).get(data.records[0]).proposals is None
    out = Exchange(lines(data, image(proposals={"file_name": "../q.png", "count": 3})), data)
    with pytest.raises(SpadeError, match="leaves its folder"):
        out.get(data.records[0])
