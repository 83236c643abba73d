from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, safe_open

from spade.core.errors import SpadeError
from spade.core.weights import load_weights, to_bytes


def test_equal_content_gives_equal_bytes(tmp_path):
    """The library orders metadata by a random hash; sixteen keys would agree by chance once in 10^13."""
    tensors, metadata = {"a": torch.arange(3.0)}, {f"k{i}": "ä" * i for i in range(16)}
    first = to_bytes(tensors, metadata)
    assert all(to_bytes(tensors, metadata) == first for _ in range(5))
    assert torch.equal(load(first)["a"], tensors["a"])
    (tmp_path / "f").write_bytes(first)
    with safe_open(tmp_path / "f", "pt") as file:
        assert file.metadata() == metadata


def test_weights_that_do_not_fit_are_one_sentence(tmp_path):
    layer = torch.nn.Linear(2, 3)
    (tmp_path / "w").write_bytes(to_bytes({name: value.half() for name, value in layer.state_dict().items()}))
    other = torch.nn.Linear(2, 3)
    load_weights(other, tmp_path / "w", "x")
    assert other.weight.dtype == torch.float32
    assert torch.allclose(other.weight, layer.weight, atol=1e-3)
    for module, name in ((torch.nn.Linear(4, 3), "w"), (layer, "none")):
        with pytest.raises(SpadeError, match=r"these weights cannot be loaded .* do this"):
            load_weights(module, tmp_path / name, "do this")
