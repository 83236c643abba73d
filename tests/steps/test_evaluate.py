from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from spade.config import EvalConfig
from spade.errors import SpadeError
from spade.steps import evaluate
from spade.steps.common import Run
from spade.workspace import Workspace
from tests.steps.helpers import copied


def bad_prediction(change):
    segment = {"layer": 0, "id": 1, "category_id": 0, "isthing": 1, "score": 1.0}
    row = {"image_id": "4", "height": 128, "width": 128, "pan_seg_file_names": ["m.png"], "segments_info": [segment], "relations": []}
    return row | change


def test_evaluation_writes_rows_that_give_the_same_figures(pipeline, world):
    result = pipeline["eval"].result
    again = evaluate.run(EvalConfig(data=world, predictions=pipeline["eval"].path / "predictions.json"), pipeline["run"])
    for name in ("R@20", "mR@20", "PQ", "images", "skipped", "per_predicate"):
        assert again.result[name] == result[name]
    assert result["R@20"] > 0.2, "the packaged start has learned the world"
    assert result["PQ"] > 0.3
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pan_seg_file_names": ["../m.png"]}, "leaves its folder"),
        ({"pan_seg_file_names": ["none.png"]}, "no such panoptic png"),
        ({"segments_info": [{"layer": 0, "id": 1, "category_id": 99, "score": 1}]}, "image 4: .*category_id 99 is out of range"),
        ({"segments_info": [{"layer": 3, "id": 1, "category_id": 0, "score": 1}]}, "layer 3 is out of range"),
        ({"segments_info": [{"layer": 0, "id": 1, "category_id": 0, "score": float("nan")}]}, "a score is not finite"),
        ({"relations": [{"subject": 0, "object": 1, "scores": [0.1] * 15}]}, "index is out of range"),
        ({"relations": [{"subject": 0, "object": 0, "scores": [0.1] * 3}]}, "a row has 3 scores, the data set 15 predicates"),
        ({"relations": [{"subject": 0}]}, "image 4: KeyError"),
    ],
)
def test_bad_predictions_name_image_and_field(world, tmp_path, change, message):
    from spade.data.codecs import write_panoptic

    write_panoptic(tmp_path / "m.png", np.ones((128, 128), np.uint32))
    (tmp_path / "p.json").write_text(json.dumps({"predictions": [bad_prediction(change)]}))
    with pytest.raises(SpadeError, match=message):
        evaluate.run(EvalConfig(data=world, predictions=tmp_path / "p.json"), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()
    lenient = EvalConfig(data=world, predictions=tmp_path / "p.json", lenient=True)
    result = evaluate.run(lenient, Run(Workspace(tmp_path / "w"), force=True)).result
    assert len(result["problems"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid json"),
        ("[]", "has no list under predictions"),
        ('{"predictions": [{}]}', r"predictions\[0\] has no image_id"),
        ('{"predictions": [{"image_id": "4"}, {"image_id": "4"}]}', "image 4 occurs twice"),
        ('{"predictions": [{"image_id": "elsewhere"}]}', "none of its images is in"),
    ],
)
def test_bad_prediction_files(world, tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SpadeError, match=message):
        evaluate.run(EvalConfig(data=world, predictions=tmp_path / "p.json"), Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()


def test_other_pngs_are_another_evaluation(pipeline, world, tmp_path):
    shutil.copytree(pipeline["eval"].path, tmp_path / "p")
    run, config = Run(Workspace(tmp_path / "w")), EvalConfig(data=world, predictions=tmp_path / "p" / "predictions.json")
    first = evaluate.run(config, run).result["PQ"]
    for png in (tmp_path / "p" / "panoptic").iterdir():
        Image.new("RGB", (128, 128)).save(png)
    again = evaluate.run(config, run)
    assert not again.cached
    assert again.result["PQ"] < first


def test_bad_pictures_and_maps_are_skipped_and_counted(world, tmp_path):
    data = copied(world, tmp_path)
    (data / "panoptic" / "000004.png").write_bytes(b"rubbish")
    Image.new("RGB", (64, 64)).save(data / "panoptic" / "000009.png")
    Image.new("RGB", (64, 64)).save(data / "images" / "000014.png")
    result = evaluate.run(EvalConfig(data=data), Run(Workspace(tmp_path / "w"))).result
    assert result["images"] == 1
    text = " ".join(result["skipped_pictures"])
    assert "panoptic/000004.png: this panoptic png cannot be decoded" in text
    assert "panoptic/000009.png: is 64 x 64, the annotation says 128 x 128" in text
    assert "images/000014.png: is 64 x 64, the annotation says 128 x 128" in text
    with pytest.raises(SpadeError, match="--strict"):
        evaluate.run(EvalConfig(data=data, strict=True), Run(Workspace(tmp_path / "w")))
