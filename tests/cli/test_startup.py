"""Nothing is imported before it is needed: what each command has loaded when it is done, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys
sys.argv = ["spade", *sys.argv[1:]]
from spade_cli.app import app
try:
    app()
except SystemExit as end:
    code = end.code or 0
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"torch", "diffusers", "transformers", "open_clip", "peft", "scipy", "matplotlib", "networkx", "pycocotools"}
print(json.dumps([code, sorted(loaded & heavy), sorted(loaded & {"numpy", "PIL"})]))
"""


def loaded(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return (*json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr)


@pytest.mark.parametrize("command", [(), ("train-relations",)])
def test_help_loads_nothing(command):
    code, heavy, other, output = loaded(*command, "--help")
    assert (code, heavy, other) == (0, [], []), output
    assert "Usage" in output


def test_status_and_a_typo_load_no_torch(pipeline, tmp_path):
    root = pipeline["run"].workspace.root
    assert loaded("status", "--workspace", root)[:2] == (0, [])
    for arguments in (("predict", "nope.png"), ("eval", "nope")):
        code, heavy, _, output = loaded(*arguments, "--workspace", tmp_path / "w")
        assert (code, heavy) == (2, []), output
        assert "nope" in output


def test_a_cached_result_loads_no_torch(pipeline, world):
    root = pipeline["run"].workspace.root
    for arguments in (
        ("train-relations", "--epochs", 1),
        ("predict", world / "images" / "000004.png"),
        ("eval", world),
    ):
        code, heavy, _, output = loaded(*arguments, "--workspace", root, "--json")
        assert (code, heavy) == (0, []), output
        assert json.loads(output[: output.rindex("\n[")])["cached"], arguments


def test_relations_of_given_segments_load_torch_alone(pipeline, world, tmp_path):
    image, graph = world / "images" / "000004.png", pipeline["predict"].path / "000004.json"
    code, heavy, _, output = loaded("predict", image, "--segments", graph, "--workspace", tmp_path)
    assert (code, heavy) == (0, ["torch"]), output
