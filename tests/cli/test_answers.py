"""Answers of the system are one sentence with a path and the right reason; output survives any pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spade.core.workspace import Workspace
from spade.steps import predict
from spade.steps.common import Run
from spade.steps.config import PredictConfig

SPADE = [sys.executable, "-m", "spade_cli"]


def run(*arguments, cwd, **options):
    command = [*SPADE, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def here(tmp_path, world):
    shutil.copy(world / "images" / "000004.png", tmp_path / "a.png")
    return tmp_path


def predicted(here, output=None):
    """a.png's graph in a workspace here, or in ``output``: by this process, which has loaded torch already."""
    config = PredictConfig(images=(str(here / "a.png"),), figures=False, page=False, output=output)
    return predict.run(config, Run(Workspace(here / "spade-workspace"))).path


def one_sentence(done, *parts):
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("note:", "model:"))]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("spade: ")
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("argument", ["status", "--help", "--version"])
def test_a_full_output_is_one_sentence(here, argument):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*SPADE, argument], cwd=here, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "no space left on device" in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("2>/dev/full", 0)])
def test_closed_outputs_change_no_exit_code(here, closed, code):
    predicted(here, here / "out")
    for name, expected in (("out/a.json", code), ("none.json", 2)):
        command = f"{sys.executable} -m spade_cli export-graph {name} --json {closed}"
        done = subprocess.run(command, cwd=here, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
        assert not done.stdout or json.loads(done.stdout), "nothing but json"


def test_a_reader_that_leaves_is_no_traceback(here):
    done = subprocess.run(
        f"{sys.executable} -m spade_cli predict --help | head -n 1 > /dev/null",
        cwd=here, shell=True, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_json_is_ascii_whatever_the_pipe_can_carry(here):
    (here / "a.png").rename(here / "\u56fe.png")
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = run("predict", "\u56fe.png", "--json", "--no-figures", "--no-page", cwd=here, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["result"]["graphs"] == ["\u56fe.json"]
    plain = run("predict", "\u56fe.png", "--output", "\u56fe", "--no-figures", "--no-page", cwd=here, env=environment)
    assert plain.returncode == 0, plain.stderr
    assert "in: \\u56fe" in plain.stdout


def test_places_that_cannot_be_written(here):
    (here / "file").write_text("")
    graph = here / "g.json"
    predicted(here, here / "out")
    shutil.copy(here / "out" / "a.json", graph)
    shutil.copy(here / "out" / "a.png", here / "a.png")
    one_sentence(
        run("export-graph", "out/a.json", "--output", "file/x.graphml", cwd=here),
        "file/x.graphml: cannot be written (Not a directory)",
    )
    one_sentence(run("predict", "a.png", "--workspace", "file", cwd=here), "file: is a file; name a folder")
    one_sentence(run("world", "file/psg", "--images", "5", cwd=here), "file/psg")
    one_sentence(run("predict", "x" * 300, cwd=here), "x" * 20)


def as_another(*arguments, cwd):
    """Run as a user who is not root."""
    command = [*SPADE, *arguments]
    (cwd / "try").mkdir(mode=0o500, exist_ok=True)
    if os.access(cwd / "try", os.W_OK):
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search",
                   "--inh-caps=-dac_override,-dac_read_search", *command]  # fmt: skip
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_folder_without_permission(here):
    (here / "locked").mkdir(mode=0o500)
    one_sentence(as_another("world", "locked/psg", "--images", "5", cwd=here), "locked/psg", "ermission denied")


def test_results_that_may_not_be_read_are_said_to_be_so(here):
    result = predicted(here)
    results = result.parent
    for locked, mode in (
        (results, 0o700),
        (result, 0o700),
        (result / "manifest.json", 0o600),
        (result / "a.json", 0o600),
    ):
        locked.chmod(0)
        done = as_another("export-graph", cwd=here)
        locked.chmod(mode)
        one_sentence(done, str(locked.relative_to(here)), "ermission denied")
    (here / "s.json").write_text("{}")
    (here / "d").mkdir()
    for *arguments, name in (
        ("predict", "a.png", "--segments", "s.json"),
        ("eval", "d"),
        ("status", "--workspace", "d"),
    ):
        (here / name).chmod(0)
        one_sentence(as_another(*arguments, name, cwd=here), name)
        (here / name).chmod(0o700)


def test_a_closed_input_is_one_sentence(here):
    command = f"{sys.executable} -m spade_cli predict - <&-"
    done = subprocess.run(command, cwd=here, shell=True, capture_output=True, text=True, check=False)
    one_sentence(done, "standard input is closed")


def test_messages_that_nobody_can_read_change_nothing(here):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    command = f"{sys.executable} -m spade_cli predict a.png --json --no-page --no-figures 2>/dev/full"
    done = subprocess.run(command, cwd=here, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["graphs"] == ["a.json"]
