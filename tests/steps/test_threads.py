"""How many threads a step computes on."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from spade.diffusion.backbone_files import resolve_backbone
from spade.steps.threads import settle_threads


@pytest.fixture
def threads(monkeypatch):
    """Two at first, as on a machine with two cores; what a test makes of it is undone."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr("spade.steps.threads._others", [])
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize("backbone", ["tiny", None])
def test_what_is_small_gets_one(threads, backbone):
    settle_threads(backbone)
    assert torch.get_num_threads() == 1


def test_a_large_backbone_keeps_all(threads, tmp_path):
    folder = shutil.copytree(resolve_backbone("tiny"), tmp_path / "large")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"sample_size": 64}), "utf-8")
    settle_threads(str(folder))
    assert torch.get_num_threads() == 2
    settle_threads("tiny")
    settle_threads("tiny")
    settle_threads(str(folder))
    assert torch.get_num_threads() == 2, "what a tiny one took is given back"


def test_what_the_user_sets_stays(threads):
    threads.setenv("OMP_NUM_THREADS", "2")
    settle_threads("tiny")
    assert torch.get_num_threads() == 2
