"""Every line of docs/python.md runs, in order."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from PIL import Image

from spade.core.errors import SpadeWarning
from spade.data.example_photos import write_examples

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image.Image, "show", lambda image: None)
    write_examples(Path("photos"))
    Path("graphs").mkdir()
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) > 6
    for block in blocks:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpadeWarning)
            exec(compile(block, str(PAGE), "exec"), names)
    first = names["same"][0]
    assert all(other.segments == first.segments for other in names["same"])
    assert capsys.readouterr().out.splitlines().count("portrait.jpg " + str(len(first))) >= 1
    assert {path.name for path in Path("out").iterdir()} >= {"portrait.json", "portrait.png", "portrait.html", "tables"}
    assert {path.name for path in Path("graphs").iterdir()} == {"portrait.jpg.html", "temple.jpg.html"}


def test_images_that_cannot_be_read_are_skipped_and_counted(model, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"rubbish")
    with pytest.warns(SpadeWarning) as told:
        graphs = list(model([str(tmp_path / "*.png"), 7], errors="skip"))
    assert [graph.file_name for graph in graphs] == ["a.png"]
    messages = [str(warning.message) for warning in told]
    assert any("b.png: this image cannot be decoded" in message for message in messages)
    assert any("int is no image" in message for message in messages)
    assert messages[-1] == "skipped 2 of 3 images"
    several = model([str(tmp_path / "b.png")])
    with pytest.raises(Exception, match=r"b\.png: this image cannot be decoded"):
        next(several)
    with pytest.raises(Exception, match="`errors=ignore`"):
        model([], errors="ignore")
