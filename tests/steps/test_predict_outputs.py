"""What spade predict reads and what it may write: nothing of the user's is replaced, no image stops the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spade.core.errors import SpadeError, SpadeWarning
from spade.core.workspace import Workspace
from spade.steps import export_graph, predict, view
from spade.steps.common import Run
from spade.steps.config import ExportConfig, PredictConfig
from spade.structures.scene_graph_json import read_scene_graph


@pytest.fixture
def scene(world, tmp_path, monkeypatch):
    """A picture a.png in an empty folder, which is the working directory."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    shutil.copy(world / "images" / "000004.png", "a.png")
    return place


def predicted(*images, **options):
    return predict.run(PredictConfig(images=images, **options), Run(Workspace(Path("w"))))


def test_an_output_never_replaces_an_input(scene):
    before = Path("a.png").read_bytes()
    with pytest.raises(SpadeError, match=r"a\.png: is an input of this run and would be replaced; choose another `out"):
        predicted("a.png", output=Path())
    assert Path("a.png").read_bytes() == before
    assert not Path("w").exists(), "before any work"
    Path("v").mkdir()
    Path("v/a.json").write_text("dog\n")
    with pytest.raises(SpadeError, match=r"v/a\.json: is an input of this run"):
        predicted("a.png", vocab="v/a.json", output=Path("v"))


def test_graphs_and_maps_of_given_segments_are_inputs(scene):
    predicted("a.png", output=Path("graphs"))
    before = {path: path.read_bytes() for path in Path("graphs").iterdir()}
    with pytest.raises(SpadeError, match=r"graphs/a\.(json|png): is an input of this run"):
        predicted("a.png", segments=Path("graphs"), output=Path("graphs"))
    assert {path: path.read_bytes() for path in Path("graphs").iterdir()} == before


def test_a_result_that_was_altered_is_made_anew(scene):
    shutil.copy("a.png", "b.png")
    first = predicted("a.png", "b.png", page=False, figures=False)
    graph = first.path / "a.json"
    whole = graph.read_bytes()
    graph.write_bytes(whole + b" ")
    with pytest.raises(SpadeError, match=r"a\.json: this file was changed or damaged since predict wrote it"):
        export_graph.run(ExportConfig(), Run(Workspace(Path("w"))))
    with pytest.warns(
        SpadeWarning, match=r"a\.json: was lost or altered .* \(1 file in all\); the result is made anew"
    ):
        again = predicted("a.png", "b.png", page=False, figures=False)
    assert not again.cached
    assert again.result.graphs == first.result.graphs
    assert graph.read_bytes() == whole


def test_a_backslash_in_a_name_is_no_folder(scene):
    Path("a.png").rename("d\\e.png")
    done = predicted("d\\e.png", page=False, figures=False)
    assert done.result.graphs == ["d_e.json"]


def test_a_link_in_the_output_is_not_followed(scene):
    Path("out").mkdir()
    Path("out/a.json").symlink_to(scene / "elsewhere.json")
    with pytest.raises(SpadeError, match=r"out/a\.json: is there and was not written"):
        predicted("a.png", output=Path("out"))


def test_a_name_that_leads_nowhere_stops_no_other(scene):
    done = predicted("a.png", "nowhere.png", "nothing/*.png", page=False, figures=False)
    assert done.result.graphs == ["a.json"]
    assert [problem.split(":")[0] for problem in done.result.skipped] == ["nowhere.png", "nothing/*.png"]
    again = predicted("a.png", "other.png", page=False, figures=False)
    assert again.cached
    assert [problem.split(":")[0] for problem in again.result.skipped] == ["other.png"]
    with pytest.raises(SpadeError, match=r"nowhere\.png: no image there"):
        predicted("a.png", "nowhere.png", strict=True)
    with pytest.raises(SpadeError, match=r"nowhere\.png: no image there"):
        predicted("nowhere.png", "none.png")


@pytest.mark.parametrize("name", ["a.json", "a.png", "a.figure.png", "page.html"])
def test_an_output_replaces_only_what_an_earlier_run_wrote(scene, name):
    Path("out").mkdir()
    (Path("out") / name).write_bytes(b"somebody's")
    with pytest.raises(SpadeError, match=rf"out/{name}: is there and was not written by predict of this workspace"):
        predicted("a.png", output=Path("out"))
    assert [path.name for path in Path("out").iterdir()] == [name]
    (Path("out") / name).unlink()
    predicted("a.png", output=Path("out"))
    predicted("a.png", output=Path("out"), top=3)  # its own files, whatever they hold
    assert len(read_scene_graph(Path("out/a.json")).relations) <= 3
    (Path("out") / name).write_bytes(b"edited since")
    with pytest.raises(SpadeError, match="was not written by predict"):
        predicted("a.png", output=Path("out"))


def test_outputs_and_workspaces_are_no_images(scene):
    shutil.copy("a.png", "b.jpg.png")
    Image.open("a.png").convert("RGB").save("c.jpg")
    predicted("c.jpg", output=Path())
    names = {path.name for path in Path().iterdir()}
    assert {"c.png", "c.figure.png", "c.json", "page.html"} <= names
    said = []
    run = Run(Workspace(Path("w")))
    run.report.say = said.append
    done = predict.run(PredictConfig(images=("**/*.png",)), run)
    assert sorted(done.result.graphs) == ["a.json", "b.jpg.json"]
    assert any("of earlier predictions" in line for line in said)
    folder = predict.run(PredictConfig(images=(".",)), run)
    assert sorted(folder.result.graphs) == ["a.json", "b.jpg.json", "c.json"]
    assert any("not called like an image" in line for line in said)
    assert predicted("c.png").result.graphs == ["c.json"], "what is named alone is wanted"


@pytest.mark.parametrize("ending", ["gif", "ppm", "tga", "bmp", "webp", "jp2"])
def test_a_folder_takes_every_kind_of_image_that_is_read_when_named(scene, ending):
    Path("f").mkdir()
    Image.open("a.png").convert("RGB").save(f"f/x.{ending}")
    assert predicted("f", page=False, figures=False).result.graphs == ["x.json"]


def test_deep_images_are_scaled_by_what_they_hold(scene):
    grey = np.asarray(Image.open("a.png").convert("L"))
    images = {
        "d12.png": (grey.astype(np.uint16) << 4) | (grey >> 4),
        "d16.png": grey.astype(np.uint16) * 257,
        "i32.tif": grey.astype(np.int32) * 1000,
        "f1.tif": grey.astype(np.float32) / 255,
        "f255.tif": grey.astype(np.float32),
        "signed.tif": grey.astype(np.int32) * 3 - 300,
    }
    from spade.data.images import read_image

    for name, values in images.items():
        Image.fromarray(values).save(name)
        with pytest.warns(SpadeWarning, match=f"{name}: .* pixels are scaled from"):
            found = np.asarray(read_image(Path(name)).convert("L")).astype(int)
        if name == "i32.tif":
            assert 120 < found.max() <= 255
        else:
            assert np.corrcoef(found.ravel(), grey.ravel())[0, 1] > 0.999
            assert name == "signed.tif" or np.abs(found - grey).max() <= 1, name


def test_names_that_no_output_can_have_and_names_that_are_no_text(scene):
    long = "x" * 245 + ".png"
    shutil.copy("a.png", long)
    shutil.copy("a.png", os.fsdecode(b"gr\xf6sse.png"))
    done = predicted("*.png", output=Path("out"))
    assert sorted(done.result.graphs) == ["a.json", "gr\ufffdsse.json"]
    assert len(done.result.skipped) == 1
    assert "this file name is too long for those of its results" in done.result.skipped[0]
    assert read_scene_graph(Path("out/gr\ufffdsse.json")).file_name == "gr\ufffdsse.png"


def test_an_image_that_may_not_be_read_stops_no_other(scene):
    """As a user who is not root."""
    shutil.copy("a.png", "secret.png")
    Path("secret.png").chmod(0)
    if os.access("secret.png", os.R_OK):
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
        command = [*drop, sys.executable, "-m", "spade_cli", "predict", "a.png", "secret.png", "--workspace", "w"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "skipped: secret.png: this image cannot be read (Permission denied)" in done.stderr
        assert "1 image, " in done.stdout
    else:
        assert "Permission denied" in predicted("a.png", "secret.png").result.skipped[0]


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a" + b"\xff" * 30, b"II*\0" + b"\xff" * 64]
)
def test_whatever_is_wrong_with_an_image_the_others_go_on(scene, content):
    Path("bad.png").write_bytes(content)
    done = predicted("a.png", "bad.png", page=False, figures=False)
    assert done.result.graphs == ["a.json"]
    told = "this image cannot be decoded" if content else "is an empty file, and no image that can be read"
    assert f"bad.png: {told}" in done.result.skipped[0]


def test_figures_and_page_can_be_left_out(scene):
    both, neither = predicted("a.png"), predicted("a.png", figures=False, page=False)
    assert neither.result.page is None
    assert {p.name for p in neither.path.iterdir()} == {".lock", "a.json", "a.png", "manifest.json"}
    assert {p.name for p in both.path.iterdir()} >= {"a.figure.png", "page.html"}
    assert both.result.segments == neither.result.segments
    assert view.run(Run(Workspace(Path("w")))).result.page == str((both.path / "page.html").resolve())


def test_view_says_what_makes_a_page(scene):
    run = Run(Workspace(Path("w")))
    with pytest.raises(SpadeError, match="holds no page; write one with: spade predict"):
        view.run(run)
    predicted("a.png", page=False)
    with pytest.raises(SpadeError, match="holds no page"):
        view.run(run)
    with pytest.raises(SpadeError, match="has no page; run the command that made it again with `page`"):
        view.run(Run(Workspace(Path("w")), source=predicted("a.png", page=False).key))


def test_the_page_says_whose_segments_they_are(scene):
    from spade.data.example_photos import write_examples

    write_examples(Path("photos"))
    done = predicted("photos/portrait.jpg", segments=Path("photos/segments.json"))
    graph = read_scene_graph(done.path / "portrait.json")
    assert graph.model["segments"] == "segments traced by hand, not found by a model"
    assert "segments traced by hand, not found by a model" in (done.path / "page.html").read_text("utf-8")
    assert ("person", "wearing", "tie") in graph.triples()


def test_the_tiny_model_says_before_it_starts_what_it_knows(scene, world):
    said = []
    run = Run(Workspace(Path("w")))
    run.report.say = said.append
    predict.run(PredictConfig(images=("a.png",)), run)
    assert "note: the tiny model knows the embedded world's images only" in said[1]
    assert "`segmenter=coco-tiny`" in said[1]
    said.clear()
    predict.run(PredictConfig(images=(str(world / "images" / "000009.png"),)), run)
    predict.run(PredictConfig(images=(str(world),)), run)
    assert not [line for line in said if "knows the embedded world" in line], "images of a data set are its own"
