import pytest
import torch

from spade.core.device import pick_device, pick_dtype
from spade.core.errors import SpadeError


def test_devices():
    assert pick_device("cpu").type == "cpu"
    for name in ("quantum", "meta"):
        with pytest.raises(SpadeError, match=f"--device {name}: no such device"):
            pick_device(name)


def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda").type == "cuda"
    with pytest.raises(SpadeError, match=r"--device cuda:7: this machine has 1 GPU"):
        pick_device("cuda:7")


def test_auto_is_half_precision_only_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_dtype("auto", torch.device("cuda")) == "bfloat16"
    assert pick_dtype("auto", torch.device("cpu")) == "float32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert pick_dtype("auto", torch.device("cuda")) == "float32"
    assert pick_dtype("float16", torch.device("cpu")) == "float16"
    with pytest.raises(SpadeError, match="dtype int7: unknown number format"):
        pick_dtype("int7", torch.device("cpu"))
