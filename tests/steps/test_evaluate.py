from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from spade.core.errors import SpadeError
from spade.core.workspace import Workspace
from spade.data.psg_reader import load_psg
from spade.steps import evaluate, predict
from spade.steps.common import Run
from spade.steps.config import EvalConfig, PredictConfig
from tests.steps.helpers import copied


def own(pipeline):
    return Path(pipeline["eval"].result.metrics["predictions"])


def test_evaluation_writes_rows_that_give_the_same_metrics(pipeline, world):
    result = pipeline["eval"].result.metrics
    again = evaluate.run(EvalConfig(data=world, predictions=own(pipeline)), pipeline["run"])
    for name in ("R@20", "mR@20", "PQ", "images", "skipped", "per_predicate", "ci95", "groups"):
        assert again.result.metrics[name] == result[name]
    assert result["R@20"] > 0, "four scenes only; tests/models asks what the packaged model has learned"
    assert result["PQ"] > 0.3
    json.dumps(result, allow_nan=False)


def test_a_model_predicts_once_for_all_protocols(pipeline, world):
    run = pipeline["run"]
    before = {path: path.stat().st_mtime_ns for path in own(pipeline).parent.rglob("*")}
    results = {
        name: evaluate.run(EvalConfig(data=world, protocol=name), run).result.metrics
        for name in ("sgbench", "single-mpo", "vg")
    }
    assert {path: path.stat().st_mtime_ns for path in own(pipeline).parent.rglob("*")} == before
    assert {r["predictions"] for r in results.values()} == {str(own(pipeline))}
    assert results["vg"]["PQ"] is None, "boxes have no panoptic quality"
    assert results["sgbench"]["PQ"] == pipeline["eval"].result.metrics["PQ"]


def test_threads_change_no_digit(pipeline, world, tmp_path):
    reports = []
    for workers in (1, 3):
        run = Run(Workspace(tmp_path / str(workers)))
        done = evaluate.run(EvalConfig(data=world, predictions=own(pipeline), workers=workers), run)
        reports.append({k: v for k, v in done.result.metrics.items() if k != "report"})
        assert done.key == evaluate.run(EvalConfig(data=world, predictions=own(pipeline)), run).key, (
            "threads are not in the key"
        )
    assert reports[0] == reports[1]


def test_what_an_evaluation_writes(pipeline, world):
    path = pipeline["eval"].path
    report = json.loads((path / "report.json").read_text())
    assert report == dict(pipeline["eval"].result.metrics)
    rows = [json.loads(line) for line in (path / "per_image.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == ["4", "9", "14", "19"]
    counted = [row["R@20"] for row in rows if row["counted"]]
    assert sum(counted) / len(counted) == pytest.approx(report["R@20"])
    assert "data:image/jpeg" in (path / "report.html").read_text()


def test_metrics_stand_at_the_top_level_of_the_json(pipeline):
    text = pipeline["eval"].to_json()
    assert {"step", "key", "path", "cached", "seconds", "result"} <= text.keys()
    for name in (
        "R@20",
        "mR@20",
        "ngR@20",
        "PR@20",
        "zR@20",
        "InstR",
        "PQ",
        "SQ",
        "RQ",
        "protocol",
        "mode",
        "images",
        "skipped",
    ):
        assert text[name] == text["result"][name]
    assert text["step"] == "eval"
    assert text["zR@20"] is None, "no list of unseen triples was given"
    assert text["A@20"] is None, "masks were predicted"
    assert {"strict", "per_predicate", "groups"} <= text.keys()
    assert "R@20" not in pipeline["predict"].to_json()


def test_a_bad_image_stops_all_unless_lenient(pipeline, world, tmp_path):
    lines = own(pipeline).read_text().splitlines()
    bad = json.loads(lines[1])
    bad["segments_info"][0]["category_id"] = 99
    folder = tmp_path / "p"
    shutil.copytree(own(pipeline).parent / "panoptic", folder / "panoptic")
    (folder / "predictions.jsonl").write_text("\n".join([lines[0], json.dumps(bad), *lines[2:]]))
    config = EvalConfig(data=world, predictions=folder)
    with pytest.raises(
        SpadeError, match=r"image 4: segments_info\[0\].category_id 99 is out of range, there are 25 classes"
    ):
        evaluate.run(config, Run(Workspace(tmp_path / "w")))
    assert not (tmp_path / "w").exists()
    result = evaluate.run(replace(config, lenient=True), Run(Workspace(tmp_path / "w"))).result.metrics
    assert len(result["problems"]) == 1
    assert (result["images"], result["skipped"]) == (3, 1)
    with pytest.raises(SpadeError, match="image 4"):
        evaluate.run(config, Run(Workspace(tmp_path / "w"), force=True))
    assert len(list((tmp_path / "w" / "eval").iterdir())) == 1, "the good result is still there"


def test_lists_are_in_the_key_and_in_the_result(pipeline, world, tmp_path):
    (tmp_path / "z.json").write_text('{"triplets": [["person", "bench", "sitting on"]]}')
    run, config = Run(Workspace(tmp_path / "w")), EvalConfig(data=world, predictions=own(pipeline), split_list="pgsg")
    first = evaluate.run(config, run)
    second = evaluate.run(replace(config, zero_shot=tmp_path / "z.json"), run)
    third = evaluate.run(replace(config, split_list=None), run)
    assert len({first.key, second.key, third.key}) == 3
    assert first.result.metrics["groups"]["novel_predicates"]["predicates"] > 0
    assert first.result.metrics["split_list"] == "pgsg"
    assert third.result.metrics["groups"]["novel_predicates"] is None
    assert second.result.metrics["denominators"]["zR"] is not None
    (tmp_path / "z.json").write_text('{"triplets": []}')
    assert not evaluate.run(replace(config, zero_shot=tmp_path / "z.json"), run).cached


def test_comparison(pipeline, world, tmp_path):
    worse = tmp_path / "worse"
    shutil.copytree(own(pipeline).parent / "panoptic", worse / "panoptic")
    lines = own(pipeline).read_text().splitlines()
    emptied = [json.dumps(json.loads(line) | {"relations": []}) for line in lines[1:]]
    (worse / "predictions.jsonl").write_text("\n".join([lines[0], *emptied]))
    config = EvalConfig(data=world, compare=(own(pipeline), worse), protocol="sgbench")
    done = evaluate.run(config, Run(Workspace(tmp_path / "w")))
    a, b = done.result.metrics["systems"]
    assert a["R@20"] > b["R@20"]
    row = done.result.metrics["differences"][0]
    assert row["R@20"]["difference"] == b["R@20"] - a["R@20"]
    low, high = row["R@20"]["ci95"]
    assert low <= row["R@20"]["difference"] <= high <= 0
    assert row["PQ"] == {"difference": 0.0, "ci95": [0.0, 0.0]}
    assert evaluate.run(config, Run(Workspace(tmp_path / "w"))).cached
    with pytest.raises(SpadeError, match="is named twice"):
        evaluate.run(replace(config, compare=(worse, worse)), Run(Workspace(tmp_path / "w")))


def test_a_model_told_the_segments(pipeline, world):
    """Predicate classification: annotated masks and labels in, so every segment is found."""
    result = evaluate.run(EvalConfig(data=world, mode="predcls"), pipeline["run"]).result.metrics
    assert result["InstR"] == 1.0
    assert result["PQ"] is None
    assert 0 < result["R@20"] <= result["R@100"]
    assert 0 < result["A@20"] <= 1
    row = json.loads(Path(result["predictions"]).read_text().splitlines()[1])
    record = load_psg(world).split("test")[0]
    assert [s["category_id"] for s in row["segments_info"]] == [s.category for s in record.segments]
    assert {s["score"] for s in row["segments_info"]} == {1.0}
    assert row["pan_seg_file_names"] == []


def test_predictions_of_another_part_of_the_data(pipeline, world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    with pytest.raises(SpadeError, match="has a prediction for none of the 16 images of this split"):
        evaluate.run(EvalConfig(data=world, predictions=own(pipeline), split="train"), run)
    empty = tmp_path / "empty.jsonl"
    empty.write_text(own(pipeline).read_text().splitlines()[0] + "\n")
    with pytest.raises(SpadeError, match="has a prediction for none of the 4 images"):
        evaluate.run(EvalConfig(data=world, predictions=empty), run)
    assert not (tmp_path / "w").exists()


def test_what_cannot_be_asked(pipeline, world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    for change, message in (
        ({"protocol": "coco"}, "`protocol=coco`: use openpsg, single-mpo, sgbench, vg"),
        ({"mode": "sgcls"}, "`mode=sgcls`: use sgdet or predcls"),
        ({"predictions": tmp_path / "none"}, "no such prediction file"),
    ):
        with pytest.raises(SpadeError, match=message):
            evaluate.run(EvalConfig(data=world, **change), run)
    for change, message in (
        ({"at": ()}, "`at`: name one or more"),
        ({"at": (20, 20)}, "different numbers"),
        ({"compare": (Path("a"),)}, "`compare`: name two or more"),
        ({"compare": (Path("a"), Path("b")), "predictions": Path("c")}, "`predictions`: leave it out with `compare`"),
    ):
        with pytest.raises(SpadeError, match=message):
            EvalConfig(data=world, **change)
    assert not (tmp_path / "w").exists()


def test_the_data_set_comes_before_the_files(world, tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert evaluate.named((world, one, two), True) == (world, (one, two))
    assert evaluate.named((world / "psg.json", one, two), True) == (world / "psg.json", (one, two))
    assert evaluate.named((one, two), True) == (None, (one, two))
    assert evaluate.named((world,), False) == (world, ())
    assert evaluate.named((), False) == (None, ())
    with pytest.raises(SpadeError, match="one data set at a time"):
        evaluate.named((world, one), False)


def test_predict_on_a_data_set_writes_the_exchange_format(pipeline, world, tmp_path):
    run = Run(Workspace(tmp_path / "w"))
    done = predict.run(
        PredictConfig(images=(str(world),), model=pipeline["train-relations"].path, output=tmp_path / "out"), run
    )
    assert len(done.result.graphs) == 4
    result = evaluate.run(EvalConfig(data=world, predictions=Path(done.result.predictions)), run).result.metrics
    for name in ("R@20", "mR@20", "ngR@50", "PQ"):
        assert result[name] == pipeline["eval"].result.metrics[name]
    copied_there = evaluate.run(EvalConfig(data=world, predictions=tmp_path / "out" / "predictions.jsonl"), run)
    assert copied_there.result.metrics["R@20"] == result["R@20"], "`output` holds all that the file needs"
    (tmp_path / "v.txt").write_text("person\ndog\n")
    other = predict.run(PredictConfig(images=(str(world),), vocab=tmp_path / "v.txt", limit=1), run)
    assert other.result.predictions is None, "with labels of one's own the data set's classes are not scored"


def test_other_pngs_are_another_evaluation(pipeline, world, tmp_path):
    shutil.copytree(own(pipeline).parent, tmp_path / "p")
    run, config = Run(Workspace(tmp_path / "w")), EvalConfig(data=world, predictions=tmp_path / "p")
    first = evaluate.run(config, run).result.metrics["PQ"]
    for png in (tmp_path / "p" / "panoptic").iterdir():
        ImageOps.mirror(Image.open(png)).save(png)
    again = evaluate.run(config, run)
    assert not again.cached
    assert again.result.metrics["PQ"] < first


def test_bad_images_and_maps_are_skipped_and_counted(world, tmp_path):
    data = copied(world, tmp_path)
    (data / "panoptic" / "000004.png").write_bytes(b"rubbish")
    Image.new("RGB", (64, 64)).save(data / "panoptic" / "000009.png")
    Image.new("RGB", (64, 64)).save(data / "images" / "000014.png")
    result = evaluate.run(EvalConfig(data=data), Run(Workspace(tmp_path / "w"))).result.metrics
    assert result["images"] == 1
    text = " ".join(result["skipped_images"])
    assert "panoptic/000004.png: this panoptic png cannot be decoded" in text
    assert "panoptic/000009.png: this panoptic png is 64 x 64, its image 128 x 128" in text
    assert "images/000014.png: is 64 x 64, the annotation says 128 x 128" in text
    with pytest.raises(SpadeError, match="`strict`"):
        evaluate.run(EvalConfig(data=data, strict=True), Run(Workspace(tmp_path / "w")))


def test_what_a_tiny_model_says_of_photographs(world, tmp_path, monkeypatch):
    def said_of(data):
        said, run = [], Run(Workspace(tmp_path / "w"))
        monkeypatch.setattr(run.report, "say", said.append)
        evaluate.run(EvalConfig(data=data, limit=1), run)
        return " ".join(said)

    note = "knows the embedded world's images only; figures of photographs say nothing"
    assert note not in said_of(world)
    data = copied(world, tmp_path)
    document = json.loads((data / "psg.json").read_text())
    del document["info"]
    (data / "psg.json").write_text(json.dumps(document))
    assert note in said_of(data)


def test_an_altered_model_of_the_workspace_is_refused(pipeline, world, tmp_path):
    run = Run(Workspace(tmp_path))
    model = Path(shutil.copytree(pipeline["train-relations"].path, tmp_path / "train-relations" / "k"))
    weights = model / "heads.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(SpadeError, match=r"heads\.safetensors: this file was changed or damaged .*train it anew with"):
        evaluate.run(EvalConfig(data=world), run)


def test_a_data_set_that_has_moved_is_named(pipeline, tmp_path):
    model = Path(shutil.copytree(pipeline["train-relations"].path, tmp_path / "train-relations" / "k"))
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["result"]["data"] = str(tmp_path / "gone" / "psg.json")
    (model / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SpadeError, match=r"gone.psg\.json: this data set, on which .* is gone; name it anew"):
        evaluate.run(EvalConfig(), Run(Workspace(tmp_path)))


def test_predictions_with_other_ids_are_refused(pipeline, world, tmp_path):
    folder = Path(shutil.copytree(own(pipeline).parent, tmp_path / "p"))
    for png in (folder / "panoptic").iterdir():
        red, green, blue = Image.open(png).split()
        Image.merge("RGB", (blue, green, red)).save(png)
    with pytest.raises(SpadeError, match=r"image 4: .* segments have no pixel in their png; write ids as R \+ 256 G"):
        evaluate.run(EvalConfig(data=world, predictions=folder), Run(Workspace(tmp_path / "w")))
