"""What the documents promise."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import spade
from spade.world.dataset import VERSION
from spade_cli.app import app

ROOT = Path(__file__).parents[1]


def test_every_command_that_the_readme_shows_exists():
    names = {command.name for command in app.registered_commands}
    shown = set(re.findall(r"`?spade ([a-z][a-z-]+)", (ROOT / "README.md").read_text()))
    assert names <= shown
    assert shown <= names | {"is"}


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_arrows_run_one_way():
    """commands -> steps -> model -> parts -> data and words -> files and errors; no module imports upwards."""
    rooms = [
        {"errors", "files", "hub", "progress", "weights"},
        {"vocabulary", "naming", "novel_names", "workspace", "config", "device", "distributed", "training"},
        {"data", "world", "open_vocabulary", "scene_graph"},
        {"diffusion", "segmentation", "relations", "export", "evaluation"},
        {"evidence", "words", "model", "relater", "loading"},
        {"steps"},
    ]
    level = {name: i for i, room in enumerate(rooms) for name in room}
    for path in (ROOT / "spade").rglob("*.py"):
        own = path.relative_to(ROOT / "spade").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spade."):
                target = node.module.split(".")[1]
                assert level[target] <= level[own], f"{path.relative_to(ROOT)} imports {node.module}"
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spade_cli")), path


def test_version_is_one():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "spade.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", spade.__version__)


def test_the_worlds_check_passes():
    """The bars that benchmarks/world.py and benchmarks/blind.py are measured against, and that the world they measured is this one."""
    found, blind = (json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8")) for name in ("world", "blind"))
    assert found["of"] == blind["of"] == f"world {VERSION}"
    assert found["far_share"] >= 25
    assert found["context_share"] >= 20
    assert found["scenes_per_second"] >= 50
    assert found["frequency_top1"] <= 60
    assert found["boxes_top1"] <= 80
    assert found["pixels_top1"] >= found["boxes_top1"] + 10
    assert found["layout_top1"] >= 95
    assert blind["blind_agreement"] >= 90
    counts = next(row["metrics"] for row in found["rows"] if row["setting"]["what"] == "counts")
    assert 1 <= counts["smallest_share"] <= counts["largest_share"] <= 20
    assert 3 <= counts["relations_an_image"]["min"] <= counts["relations_an_image"]["max"] <= 12
