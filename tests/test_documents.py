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
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


ROOMS = [
    {"core"},
    {"structures"},
    {"data", "world"},
    {"open_vocabulary"},
    {"diffusion", "segmentation", "relations", "evaluation", "export"},
    {"models"},
    {"training"},
    {"steps"},
]
# Methods of a scene graph draw and save it: they import the room of exports when they are called.
EXCEPTIONS = {("structures/scene_graph.py", "export"), ("__main__.py", "spade_cli")}


def imports_of(path: Path) -> set[str]:
    """The rooms that a module imports from, wherever in it: the second part of ``spade.room.module``, or
    ``spade_cli``.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for parts in (module.split(".") for module in modules):
            if parts[0] == "spade_cli":
                found.add("spade_cli")
            elif parts[0] == "spade" and len(parts) > 1:
                found.add(parts[1])
    return found


def test_arrows_run_one_way():
    """The command line, steps, training, models, parts, data, structures, core: nothing imports upwards, parts form
    no circle.
    """
    level = {name: number for number, room in enumerate(ROOMS) for name in room}
    beside: dict[str, set[str]] = {}
    for path in sorted((ROOT / "spade").rglob("*.py")):
        place = path.relative_to(ROOT / "spade").as_posix()
        own = place.split("/")[0]
        for target in imports_of(path):
            if (place, target) in EXCEPTIONS or place == "__init__.py":
                continue
            assert target in level, f"{place} imports {target}, which is no room of the house"
            assert level[target] <= level[own], f"{place} imports {target}"
            if target != own and level[target] == level[own]:
                beside.setdefault(own, set()).add(target)
    for room, others in beside.items():
        for other in others:
            assert room not in beside.get(other, ()), f"{room} and {other} import each other"


def test_the_top_of_the_package_holds_rooms_only():
    loose = {path.name for path in (ROOT / "spade").iterdir() if path.is_file()}
    assert loose == {"__init__.py", "__main__.py", "py.typed"}


def test_no_file_is_longer_than_three_hundred_lines():
    for folder in ("spade", "spade_cli", "benchmarks", "examples", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text("utf-8").splitlines()) <= 300, path


def test_version_is_one():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "spade.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", spade.__version__)


def test_the_worlds_check_passes():
    """The bars that benchmarks/world/learners.py and blind.py are measured against, and that the world they measured is
    this one.
    """
    found, blind = (
        json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8")) for name in ("world", "blind")
    )
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
