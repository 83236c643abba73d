from __future__ import annotations

import pytest
import torch

from spade.models.heads import Heads
from tests.relations.samples import CONFIG


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    return Heads(CONFIG)
