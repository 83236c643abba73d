import pytest
import torch

from spade.device import fast_layout, pick_device, pick_dtype
from spade.errors import SpadeError


def test_devices():
    assert pick_device("cpu").type == "cpu"
    for name in ("quantum", "meta"):
        with pytest.raises(SpadeError, match=f"--device {name}: no such device"):
            pick_device(name)


def test_auto_is_half_precision_only_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_dtype("auto", torch.device("cuda")) == "bfloat16"
    assert pick_dtype("auto", torch.device("cpu")) == "float32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert pick_dtype("auto", torch.device("cuda")) == "float32"
    assert pick_dtype("float16", torch.device("cpu")) == "float16"
    with pytest.raises(SpadeError, match="dtype int7: unknown number format"):
        pick_dtype("int7", torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_in_half_precision_only(dtype):
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(4, 8, 3, padding=1).to(dtype)
    picture = torch.randn(2, 4, 6, 6, dtype=dtype)
    before = convolution(picture)
    fast_layout(convolution)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) == (dtype != torch.float32)
    assert torch.allclose(convolution(picture).float(), before.float(), atol=0.02)
