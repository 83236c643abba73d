"""The example script runs from nothing to its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "open_vocabulary.sh"


@pytest.mark.slow
def test_the_script_ends_in_the_table(tmp_path):
    place = tmp_path / "bin"
    place.mkdir()
    command = place / "spade"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spade_cli "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}
    done = subprocess.run(
        ["sh", str(SCRIPT), "here", "20"], cwd=tmp_path, check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.count("harmonic mean, by predicates") == 2, "by both protocols"
    (report,) = (tmp_path / "here" / "workspace" / "eval").glob("*/report.json")
    found = json.loads(report.read_text())["open_vocabulary"]
    assert found["split"]["name"] == "world:ovdr"
    assert found["trained_on_novel"] == []
