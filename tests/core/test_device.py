import warnings
from types import SimpleNamespace

import pytest
import torch

from spade.core import device as module
from spade.core.device import device_name, dtype_name, open_device
from spade.core.errors import SpadeError, SpadeWarning


def test_devices():
    assert open_device("cpu").type == "cpu"
    for name in ("quantum", "meta", "cuda:x"):
        with pytest.raises(SpadeError, match=f"`device={name}`: no such device"):
            device_name(name)


def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert open_device("cuda").type == "cuda"
    with pytest.raises(SpadeError, match=r"`device=cuda:7`: this machine has 1 GPU"):
        open_device("cuda:7")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpadeError, match=r"no GPU that torch can use; use `device=cpu`"):
        open_device("cuda")


class FakeDriver:
    """The three calls of the CUDA driver's library that are made, with the answers that it would write."""

    def __init__(self, *majors):
        self.majors = majors

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, number):
        number._obj.value = len(self.majors)
        return 0

    def cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.majors[device.value]
        return 0


@pytest.mark.parametrize(
    ("driver", "built", "visible", "found"),
    [
        (FakeDriver(9), True, None, ("cuda", "bfloat16")),
        (FakeDriver(7, 9), True, "1", ("cuda", "float32")),
        (FakeDriver(), True, None, ("cpu", "float32")),
        (FakeDriver(9), False, None, ("cpu", "float32")),
        (FakeDriver(9), True, "", ("cpu", "float32")),
        (None, True, None, ("cpu", "float32")),
    ],
)
def test_auto_is_found_without_torch(monkeypatch, driver, built, visible, found):
    """The driver, the installed torch and the environment decide; half precision needs compute capability 8."""

    def library(name):
        if driver is None:
            raise OSError
        return driver

    for function in (module._driver_devices, module._torch_is_built_for_cuda, module._gpu_computes_in_bfloat16):
        function.cache_clear()
    monkeypatch.setattr(module, "ctypes", SimpleNamespace(**vars(module.ctypes)))
    monkeypatch.setattr(module.ctypes, "CDLL", library)
    monkeypatch.setattr(module, "_torch_is_built_for_cuda", lambda: built)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = device_name("auto")
    assert (device, dtype_name("auto", device)) == found
    if driver is not None and len(driver.majors) > 1:
        assert dtype_name("auto", "cuda:1") == "bfloat16", "each GPU is asked for itself"
    module._driver_devices.cache_clear()
    module._gpu_computes_in_bfloat16.cache_clear()


def test_number_formats_by_name():
    assert dtype_name("auto", "cpu") == "float32"
    assert dtype_name("float16", "cpu") == "float16"
    with pytest.raises(SpadeError, match="`dtype=int7`: unknown number format"):
        dtype_name("int7", "cpu")


@pytest.mark.parametrize(("flags", "slow"), [("fpu sse2 avx2", True), ("avx2 avx512bw avx512_bf16", False)])
def test_bfloat16_on_a_cpu_without_it_is_done_with_a_warning(monkeypatch, flags, slow):
    monkeypatch.setattr(module.Path, "read_text", lambda *_: f"flags : {flags}")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert module.open_dtype("bfloat16", torch.device("cpu")) is torch.bfloat16
        assert module.open_dtype("auto", torch.device("cpu")) is torch.float32
    assert [w.category for w in told] == [SpadeWarning] * slow
