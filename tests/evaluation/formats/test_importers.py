"""sgbench's files and competition submissions, made from the oracle's predictions and against its numbers."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import tifffile

from spade.core.errors import SpadeError
from spade.data.psg_reader import load_psg
from spade.evaluation.formats.sources import open_predictions
from spade.evaluation.scoring.evaluator import Evaluator
from spade.evaluation.scoring.predicted_image import ImageError
from spade.structures.panoptic_png import ids_to_rgb, png_bytes, read_panoptic, write_panoptic
from tests.evaluation.scoring.test_oracle import agree, expected, names, oracle  # noqa: F401 - a fixture


def judged(path, folder, protocol, mode="sgdet", at=(20, 50, 100)):
    dataset = load_psg(folder)
    predictions = open_predictions(path, dataset, mode == "predcls")
    evaluator = Evaluator(dataset, protocol, mode, at)
    for record in dataset.split("test"):
        evaluator.add(
            record,
            read_panoptic(folder / record.panoptic_name) if evaluator.needs_masks else None,
            predictions.get(record),
        )
    return evaluator.summary()


def as_sgbench(folder, kind, with_masks=True):
    """The oracle's predictions as sgbench writes them: ranked triplets, the best candidates, a mask a segment."""
    images, masks = [], {}
    for row in json.loads((folder / f"pred_{kind}.json").read_text())["predictions"]:
        strength = np.array([s["score"] for s in row["segments_info"]])
        pairs = np.array([(r["subject"], r["object"]) for r in row["relations"]], int).reshape(-1, 2)
        scores = (
            np.array([r["scores"] for r in row["relations"]]).reshape(len(pairs), 56)
            if len(pairs)
            else np.zeros((0, 56))
        )
        weighted = scores * strength[pairs[:, :1]] * strength[pairs[:, 1:]]
        order = np.argsort(-weighted.max(1), kind="stable") if len(pairs) else np.zeros(0, int)
        best = np.argsort(-weighted.ravel(), kind="stable")[:400]
        layers = [read_panoptic(folder / name) for name in row["pan_seg_file_names"]]
        name = f"{row['image_id']}.tiff"
        masks[name] = np.array([layers[s["layer"]] == s["id"] for s in row["segments_info"]], np.uint8)
        images.append(
            {
                "id": row["image_id"],
                "triplets": np.column_stack([pairs, scores.argmax(1)])[order].tolist() if len(pairs) else [],
                "ng_triplets": np.column_stack([pairs[best // 56], best % 56]).tolist(),
                "annotation": [{"category": s["category_id"], "bbox": [0, 0, 1, 1]} for s in row["segments_info"]],
                "seg_filename": name,
            }
        )
    path = folder / f"{kind}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("triplets.json", json.dumps({"version": 1, "images": images}))
        for name, mask in masks.items():
            if len(mask):
                buffer = io.BytesIO()
                tifffile.imwrite(buffer, mask, compression="zlib", photometric="minisblack")
                archive.writestr(name, buffer.getvalue())
    return path


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_sgbench_zip(oracle, kind):  # noqa: F811
    summary = judged(as_sgbench(oracle, kind), oracle, "sgbench")
    agree(summary, expected(oracle, kind, "sgbench")["api"], names("R", "mR", "ngR", "ng-mR"))
    agree(summary, expected(oracle, kind, "sgbench")["cli"], ["InstR"])


def as_submission(folder, target):
    """The oracle's single predictions as OpenPSG's grading tool takes them: in order, from 1, without ids and
    scores.
    """
    dataset = load_psg(folder)
    rows = {row["image_id"]: row for row in json.loads((folder / "pred_single.json").read_text())["predictions"]}
    (target / "panseg").mkdir(parents=True)
    out = []
    for index, record in enumerate(r for r in dataset.split("test") if r.relations):
        row = rows.get(record.image_id, {"segments_info": [], "relations": [], "pan_seg_file_names": []})
        strength = [s["score"] for s in row["segments_info"]]
        ranked = sorted(
            row["relations"], key=lambda r: -max(r["scores"]) * strength[r["subject"]] * strength[r["object"]]
        )
        ids = (
            read_panoptic(folder / row["pan_seg_file_names"][0])
            if row["pan_seg_file_names"]
            else np.zeros((record.height, record.width))
        )
        write_panoptic(target / "panseg" / f"{index}.png", ids)
        relations = [[r["subject"], r["object"], int(np.argmax(r["scores"])) + 1] for r in ranked]
        segments = [{"id": s["id"], "category_id": s["category_id"] + 1} for s in row["segments_info"]]
        out.append({"relations": relations, "segments_info": segments, "pan_seg_file_name": f"{index}.png"})
    (target / "relation.json").write_text(json.dumps(out))
    return target


def test_submission_of_the_competition(oracle, tmp_path):  # noqa: F811
    folder = as_submission(oracle, tmp_path / "submission")
    reference = expected(oracle, "single", "openpsg_panseg")
    packed = tmp_path / "submission.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder).as_posix())
    for source in (folder, folder / "relation.json", packed):
        summary = judged(source, oracle, "openpsg")
        agree(summary, reference, names("R", "mR"))
        assert summary["ngR@20"] is None, "a submission has no scores"
        assert summary["images"] == reference["n_images_evaluated"]


@pytest.fixture
def small(tmp_path):
    """A data set of one image with two segments, and the parts of an sgbench file about it."""
    ids = np.where(np.arange(8) < 4, 5, 6)[None].repeat(4, 0).astype(np.uint32)
    write_panoptic(tmp_path / "1.png", ids)
    record = {
        "image_id": "1",
        "file_name": "1.jpg",
        "pan_seg_file_name": "1.png",
        "width": 8,
        "height": 4,
        "segments_info": [{"id": 5, "category_id": 0, "area": 16}, {"id": 6, "category_id": 1, "area": 16}],
        "annotations": [{"bbox": [0, 0, 4, 4]}, {"bbox": [4, 0, 8, 4]}],
        "relations": [[0, 1, 0]],
    }
    lists = {"thing_classes": ["a", "b"], "stuff_classes": [], "predicate_classes": ["p", "q"], "test_image_ids": ["1"]}
    (tmp_path / "psg.json").write_text(json.dumps({"data": [record], **lists}))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.array([ids == 5, ids == 6], np.uint8), photometric="minisblack")
    notes = [{"category": 0, "bbox": [0, 0, 4, 4, 0.9]}, {"category": 1, "bbox": [4, 0, 8, 4, 0.8]}]
    image = {"id": "1", "triplets": [[0, 1, 0]], "ng_triplets": None, "annotation": notes, "seg_filename": "1.tiff"}
    return load_psg(tmp_path), image, buffer.getvalue()


def write_zip(dataset, image, tiff, extra=(), name="1.tiff"):
    path = dataset.root / "s.zip"
    turned = io.BytesIO()
    tifffile.imwrite(turned, np.zeros((2, 8, 4), np.uint8), photometric="minisblack")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("turned.tiff", turned.getvalue())
        archive.writestr(
            "triplets.json", json.dumps({"version": 1, "images": [image] if isinstance(image, dict) else image})
        )
        archive.writestr(name, tiff)
        for more in extra:
            archive.writestr(more, b"x")
    return path


def test_boxes_alone(small):
    dataset, image, _ = small
    path = dataset.root / "boxes.json"
    path.write_text(json.dumps({"version": 1, "images": [{**image, "seg_filename": None}]}))
    metrics = judged(path, dataset.root, "vg", at=(1,))
    assert metrics["R@1"] == 1.0
    with pytest.raises(ImageError, match="has no masks"):
        judged(path, dataset.root, "sgbench")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"triplets": [[0, 2, 0]]}, r"triplets\[0\]: object 2 is out of range, there are 2 segments"),
        (
            {"triplets": [[0, 1, 2]]},
            r"triplets\[0\]: predicate 2 is out of range, there are 2 predicates$|there are 2 predicates; see",
        ),
        ({"triplets": [[0, 1]]}, r"Expected `array` of length 3, got 2 - at `triplets\[0\]`"),
        ({"triplets": [[0, 1, float("nan")]]}, r"Expected `int`, got `float` - at `triplets\[0\]\[2\]`"),
        ({"ng_triplets": [[0, 5, 0]]}, r"ng_triplets\[0\]: object 5"),
        ({"annotation": [{"category": 7, "bbox": [0, 0, 1, 1]}]}, r"annotation\[0\].category 7 is out of range"),
        (
            {"annotation": [{"category": 0, "bbox": [0, 0, 1, 1]}], "triplets": []},
            r"seg_filename: \"1.tiff\" has shape \(2, 4, 8\), not 1 masks",
        ),
        ({"seg_filename": "../1.tiff"}, "leaves its folder"),
        ({"seg_filename": "2.tiff"}, "holds no 2.tiff"),
        ({"seg_filename": "triplets.json"}, "seg_filename: .* is no readable TIFF"),
        ({"annotation": None}, "image 1: Expected `array`, got `null` - at `annotation`"),
        ({"annotation": [{"category": 1.7}]}, r"Expected `int`, got `float` - at `annotation\[0\].category`"),
        ({"annotation": [{"category": 10**30}]}, r"annotation\[0\].category"),
        ({"annotation": [{"category": 0, "bbox": [0, 0, float("nan"), 1]}] * 2}, r"annotation\[0\].bbox: .* is no box"),
        (
            {"annotation": [{"category": 0, "bbox": [0, 0, 1, 1]}, {"category": 0}]},
            r"annotation\[1\].bbox: is missing, other segments have one",
        ),
        ({"seg_filename": "turned.tiff"}, r"turned.tiff\" has shape \(2, 8, 4\), not 2 masks of 4 rows and 8 columns"),
    ],
)
def test_bad_sgbench_images(small, change, message):
    dataset, image, tiff = small
    predictions = open_predictions(write_zip(dataset, image | change, tiff), dataset)
    with pytest.raises(SpadeError, match=message):
        predictions.get(dataset.records[0])


NAMES = {"segments_info": [{"id": 5, "category_id": 1}, {"id": 6, "category_id": 2}], "pan_seg_file_name": "1.png"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "has 0 images, .* 1 test images with relations"),
        ({}, "relation.json is no list of objects"),
        ([5], "image 1: Expected `object`, got `int`"),
        ([{"relations": [[0, 1, 0]]}], "image 1: Object missing required field `segments_info`"),
        (
            [{"relations": [[0, 1, 3]], **NAMES}],
            r"relations\[0\]: predicate 3 is out of range, there are 2 predicates counted from 1",
        ),
        ([{"relations": [[0, 1, 0]], **NAMES}], r"relations\[0\]: predicate 0 is out of range, .* counted from 1"),
        (
            [{"relations": [], **NAMES, "segments_info": [{"id": 5, "category_id": 0}]}],
            r"segments_info\[0\].category_id 0 is out of range",
        ),
        ([{"relations": [[0, 1]], **NAMES}], r"relations\[0\]: \[0, 1\] is no \[subject, object, predicate\]"),
        (
            [{"relations": [], **NAMES, "pan_seg_file_name": None}],
            "Expected `str`, got `null` - at `pan_seg_file_name`",
        ),
        ([{"relations": [], **NAMES, "pan_seg_file_name": "../1.png"}], "leaves its folder"),
        ([{"relations": [], **NAMES, "pan_seg_file_name": "\ud800.png"}], "image 1: .*(surrogates|no valid text)"),
        ([{"relations": [], **NAMES, "pan_seg_file_name": "a" * 5000}], "image 1: .*is too long for a file system"),
        (["\ud800"], "image 1: .*(surrogates|Expected `object`)"),
        (
            [{"relations": [], **NAMES, "pan_seg_file_name": "small.png"}],
            "panseg/small.png: this panoptic png is 2 x 2, its image 8 x 4",
        ),
    ],
)
def test_bad_submissions(small, tmp_path, document, message):
    dataset, _, _ = small
    folder = tmp_path / "submission"
    (folder / "panseg").mkdir(parents=True)
    (folder / "panseg" / "small.png").write_bytes(png_bytes(ids_to_rgb(np.ones((2, 2)))))
    (folder / "relation.json").write_text(json.dumps(document))
    with pytest.raises(SpadeError, match=message):
        open_predictions(folder, dataset).get(dataset.records[0])
