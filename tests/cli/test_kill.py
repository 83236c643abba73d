"""A killed step goes on where it was and ends in the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def command(root, *arguments):
    return [sys.executable, "-m", "spade_cli", *map(str, arguments), "--workspace", str(root), "--json"]


def run(root, *arguments):
    done = subprocess.run(command(root, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kill_when(root, arguments, pattern, count):
    """Start a command and kill -9 it once ``count`` files match; False if it was done before."""
    process = subprocess.Popen(command(root, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            if len(list(root.glob(pattern))) >= count:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.002)
    finally:
        process.wait()
    return process.returncode == -signal.SIGKILL


def payload(root, step):
    return {
        p.relative_to(root): p.read_bytes()
        for p in (root / step).rglob("*")
        if p.is_file() and p.name not in ("manifest.json", ".lock")
    }


@pytest.mark.slow
def test_every_long_step_survives_a_kill(world, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = [
        ("invert", (world, "--batch-size", 1), "invert/*/maps/*.safetensors", 4),
        ("calibrate", ("--epochs", 12), "calibrate/*/state.safetensors", 1),
        ("train-relations", ("--epochs", 4), "train-relations/*/state.safetensors", 1),
    ]
    for step, options, pattern, count in steps:
        run(whole, step, *options)
        assert kill_when(broken, (step, *options), pattern, count), f"{step} was done before it could be killed"
        assert not list(broken.glob(f"{step}/*/manifest.json"))
        resumed = run(broken, step, *options)
        assert not resumed["cached"]
        assert payload(whole, step) == payload(broken, step), step
        kept = [json.loads(next((root / step).glob("*/manifest.json")).read_text()) for root in (whole, broken)]
        for manifest in kept:
            for field in ("finished", "seconds", "command"):
                manifest.pop(field)
        assert kept[0] == kept[1]


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_as_one(world, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # the number of threads is in the bits
    one, two = tmp_path / "one", tmp_path / "two"
    run(one, "invert", world, "--batch-size", 2)
    launched = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "-m",
            *command(two, "invert", world, "--batch-size", 2)[2:],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr[-2000:]
    assert payload(one, "invert") == payload(two, "invert")
