from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from spade.core.workspace import Workspace
from spade.data.example_photos import example_photos as photos
from spade.steps import quickstart
from spade_cli.app import app

COMMANDS = (
    "quickstart",
    "world",
    "invert",
    "calibrate",
    "maps",
    "train-relations",
    "train-boxes",
    "predict",
    "eval",
    "export-graph",
    "status",
)
runner = CliRunner()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spade(*arguments):
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command):
    result = spade(command, "--help")
    assert result.exit_code == 0
    assert f"Example: spade {command}" in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['spade', 'predict', '--help']\n"
        "from spade_cli.app import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'open_clip', 'networkx', 'scipy'} & "
        "set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Images to scene graphs" in done.stdout


def test_version_and_no_arguments():
    assert spade("--version").output.startswith("spade 0.")
    assert "Usage: spade" in spade().output


def test_usage_errors_are_2(here):
    for arguments in (
        ["nonsense"],
        ["world"],
        ["world", "x", "--size", "7"],
        ["eval", "x", "--at", "a"],
        ["predict", "x", "--min-score", "2"],
    ):
        assert spade(*arguments).exit_code == 2, arguments
    assert not list(here.iterdir())


def one_sentence(result, *parts):
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("model: ", "skipped", "note: "))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("spade: ")
    assert "Traceback" not in result.output
    for part in parts:
        assert part in lines[0]


def test_user_errors_are_one_sentence_and_leave_nothing(here):
    (here / "broken.jpg").write_bytes(b"rubbish")
    (here / "cut.json").write_text('{"data": [')
    (here / "empty.txt").write_text("\n# nothing\n")
    Image.new("RGB", (64, 64)).save(here / "grey.png")
    before = sorted(here.iterdir())
    one_sentence(spade("predict", "none.jpg"), "none.jpg", "name an image file")
    one_sentence(spade("predict", "broken.jpg"), "broken.jpg", "open and save it anew")
    one_sentence(spade("predict", "grey.png", "--vocab", "empty.txt"), "empty.txt", "write one label a line")
    one_sentence(spade("predict", "grey.png", "--vocab", "none.txt"), "none.txt", "write one label a line")
    one_sentence(spade("predict", "grey.png", "--model", "."), "holds no trained model")
    one_sentence(spade("invert", "cut.json"), "cut.json", "fetch or write the annotation file again")
    one_sentence(spade("invert", "none"), "none", "spade world none")
    one_sentence(spade("invert", "grey.png"), "grey.png", "is a png image, and no annotation file")
    one_sentence(spade("calibrate"), "run first: spade invert")
    one_sentence(spade("calibrate", "--rank", "0"), "--rank 0")
    one_sentence(spade("export-graph", "none.json"), "none.json", "spade predict")
    one_sentence(spade("export-graph", "cut.json"), "cut.json", "is not valid json")
    assert sorted(here.iterdir()) == before


def test_world_json_and_cache(here):
    first = json.loads(spade("world", "data", "--images", "5", "--size", "96x64", "--json").stdout)
    assert (first["step"], first["cached"], first["path"]) == ("world", False, "data")
    assert first["result"]["width"] == 96
    assert json.loads(spade("world", "data", "--images", "5", "--size", "96x64", "--json").stdout)["cached"]
    one_sentence(spade("world", "data", "--images", "6"), "psg.json", "--force")


def test_quiet_says_nothing(here):
    result = spade("world", "data", "--images", "5", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_workspace_from_the_environment_and_status(here, monkeypatch, pipeline):
    monkeypatch.setenv("SPADE_WORKSPACE", str(pipeline["run"].workspace.root))
    rows = json.loads(spade("status", "--json").stdout)["result"]["artifacts"]
    assert {row["step"] for row in rows} >= {
        "invert",
        "calibrate",
        "train-relations",
        "predict",
        "eval",
        "export-graph",
    }
    assert all(row["complete"] for row in rows if row["step"] == "invert")
    text = spade("status").stdout
    assert pipeline["invert"].key in text
    assert "complete" in text
    assert "begin with: spade quickstart" in spade("status", "--workspace", here / "none").stdout


def test_from_chooses_the_input(pipeline, here):
    root = pipeline["run"].workspace.root
    one_sentence(spade("calibrate", "--workspace", root, "--from", "zzz"), "zzz", "spade status")
    done = json.loads(
        spade(
            "export-graph",
            "--workspace",
            root,
            "--from",
            pipeline["predict"].key,
            "--output",
            here / "g.graphml",
            "--json",
        ).stdout
    )
    assert done["cached"]
    assert (here / "g.graphml").read_text().startswith("<?xml")


def test_merged_export(pipeline, here):
    for name in ("a", "b"):
        shutil.copytree(pipeline["predict"].path, here / name)
    result = spade("export-graph", "a", "b/*4.json", "--merge", "--output", here, "--workspace", here / "w")
    assert result.exit_code == 0, result.output
    import networkx as nx

    merged = nx.read_graphml(here / "graphs.graphml")
    assert {node.split("/")[0] for node in merged.nodes} == {"0", "1"}


def test_the_command_page_is_what_the_commands_say():
    page = Path(__file__).parents[2] / "docs" / "commands.md"
    made = subprocess.run(
        [sys.executable, "-m", "typer", "spade_cli.app", "utils", "docs", "--name", "spade"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == page.read_text().strip(), (
        "run: typer spade_cli.app utils docs --name spade --output docs/commands.md"
    )


def test_quickstart_with_sockets_blocked(here, monkeypatch):
    def blocked(*_, **__):
        raise OSError("the test allows no network")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, blocked)
    monkeypatch.setattr(socket, "create_connection", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    result = spade("quickstart", "--images", "20", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    made = document["result"]
    assert [row["measure"] for row in made["steps"]] == ["pointing", "R@20", "mR@20"]
    trained = "trained in this run on the packaged masks"
    assert set(made["models"]) == {"packaged", trained}
    assert {row["measure"]: row["value"] for row in made["steps"][1:]} == {
        name: made["models"][trained][name] for name in ("R@20", "mR@20")
    }
    assert all(set(row) == {"PQ", "R@20", "mR@20"} for row in made["models"].values())
    assert Image.open(made["figure"]).size[0] > 1000
    for page in ("page", "photo_page"):
        assert Path(made[page]).read_text().startswith("<!doctype html>")
    newest = json.loads(spade("status", "--json").stdout)["result"]
    assert newest["artifacts"] == [], "nothing of it is another command's newest result"
    own = newest["quickstart"]
    assert spade("status").stdout == f"what spade quickstart made: spade status --workspace {own}\n"
    assert f"spade view --workspace {own}" in spade("view", "--no-browser").stderr
    assert spade("view", "--no-browser", "--workspace", own).stdout.strip() == made["page"]
    listed = json.loads(spade("status", "--workspace", own, "--json").stdout)["result"]["artifacts"]
    assert {row["step"] for row in listed} >= {"invert", "calibrate", "train-relations", "eval", "worth", "predict"}
    other = spade("quickstart", "--images", "8", "--seed", "1", "--json")
    assert other.exit_code == 0, other.output
    assert json.loads(other.stdout)["result"]["steps"] != made["steps"]
    again = json.loads(spade("quickstart", "--images", "20", "--json").stdout)
    assert again["cached"], "the other world stands beside this one"
    assert again["result"]["steps"] == made["steps"], "of this run's calibration, which is not the newest"
    monkeypatch.setattr(quickstart, "example_photos", lambda: [replace(photo, source=None) for photo in photos()])
    without = json.loads(spade("quickstart", "--images", "20", "--json").stdout)["result"]
    assert (without["photo_page"], without["first_picture_seconds"]) == (None, None)
    table = spade("quickstart", "--images", "20").stdout
    assert "held-out scenes" in table
    assert "label-pair frequency" in table
    assert "packaged" in table


@pytest.mark.slow
def test_a_full_quickstart_learns_masks_on_its_own_calibration(here):
    result = spade("quickstart", "--images", "8", "--full", "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)["result"]
    whole = "masks and relations trained in this run"
    assert list(made["models"]) == [whole, "trained in this run on the packaged masks", "packaged"]
    assert made["models"][whole]["PQ"] < made["models"]["packaged"]["PQ"], "of six scenes, from nothing"
    own = Workspace(Workspace(here / "spade-workspace").quickstart)
    from_what = [one.manifest["inputs"] for one in own.artifacts("train-relations")]
    assert {} in from_what
    assert {"calibrate": own.newest("calibrate").key} in from_what
    assert "train-relations, masks too" in made["step_seconds"]


def test_predict_takes_names_on_stdin_and_labels_with_commas(world, here):
    names = "\n".join(str(world / "images" / f"{n:06d}.png") for n in (4, 9)) + "\n"
    arguments = ["predict", "-", "--vocab", "person,dog,sky", "--json", "--no-figures", "--workspace", str(here / "w")]
    result = CliRunner().invoke(app, arguments, input=names)
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["result"]["graphs"] == ["000004.json", "000009.json"]
    graph = json.loads((Path(made["path"]) / "000004.json").read_text())
    assert graph["vocabulary"]["objects"] == ["person", "dog", "sky"]
    shown = spade("view", "--no-browser", "--workspace", here / "w")
    assert shown.stdout.strip().endswith("page.html")


def test_example_view_and_export_from_nothing(here):
    assert spade("example", "photos").exit_code == 0
    made = spade("predict", "photos/portrait.jpg", "--segments", "photos/segments.json", "--output", "graphs")
    assert made.exit_code == 0, made.output
    assert "1 image, 4 segments, 4 relations" in made.stdout
    assert "page: graphs/page.html" in made.stdout
    written = spade("export-graph", "graphs", "--format", "dot", "--output", "portrait.dot")
    assert written.exit_code == 0, written.output
    assert (here / "portrait.dot").read_text().startswith("digraph")
    one_sentence(spade("example", "graphs/page.html"), "is a file; name a folder")


def test_a_file_where_quickstart_would_work_is_none_of_the_status(here):
    (here / "w").mkdir()
    (here / "w" / "quickstart").write_text("")
    assert spade("status", "--workspace", "w").stdout == "nothing yet; begin with: spade quickstart\n"
    assert "holds no page; write one with: spade predict" in spade("view", "--workspace", "w").stderr
    refused = spade("quickstart", "--workspace", "w")
    assert (refused.exit_code, "w/quickstart: is a file; name a folder" in refused.stderr) == (2, True)
