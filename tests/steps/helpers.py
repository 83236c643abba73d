"""Small things that the steps' tests share."""

from __future__ import annotations

import json
import shutil


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def payload(folder):
    return {
        p.relative_to(folder): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("manifest.json", ".lock")
    }


def copied(world, tmp_path):
    shutil.copytree(world, tmp_path / "data")
    return tmp_path / "data"
