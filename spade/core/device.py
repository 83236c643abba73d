"""Where a run computes: device, number format, and how many processes share it. Names are resolved without torch."""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spade.core.errors import SpadeError, SpadeWarning, given

if TYPE_CHECKING:
    import torch


T = TypeVar("T")
DTYPES = ("float32", "float16", "bfloat16")


def device_name(name: str) -> str:
    """Turn "auto" into "cuda" or "cpu"; check the form of any other name. Nothing is opened, torch is not imported.

    "auto" is the GPU where the driver's library and a device are there, the environment does not hide them, and the
    installed torch was built for CUDA. ``open_device`` finds out whether it works.
    """
    if name == "auto":
        return "cuda" if _gpu_is_likely() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise SpadeError(f"{given('device', name)}: no such device; use auto, cpu, cuda or cuda:0.")
    return name


def dtype_name(name: str, device: str) -> str:
    """Turn "auto" into bfloat16 on a GPU that computes in it (compute capability 8), else float32.

    A CPU gets half precision only by name: few have the instructions.
    """
    if name == "auto":
        return (
            "bfloat16"
            if device.startswith("cuda") and _gpu_computes_in_bfloat16(int(device.partition(":")[2] or 0))
            else "float32"
        )
    if name not in DTYPES:
        raise SpadeError(f"{given('dtype', name)}: unknown number format; use auto, {', '.join(DTYPES)}.")
    return name


def open_device(name: str) -> torch.device:
    """The device of this name, or of "auto". Raises SpadeError where torch cannot use it."""
    import torch

    name = device_name(name)
    device = torch.device(name)
    if (device.type == "mps" and not torch.backends.mps.is_available()) or (
        device.type == "cuda" and not torch.cuda.is_available()
    ):
        raise SpadeError(
            f"{given('device', name)}: this machine has no GPU that torch can use; use {given('device', 'cpu')}."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SpadeError(f"{given('device', name)}: this machine has {count} GPU(s), counted from cuda:0.")
    return device


def open_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format of this name, or of "auto". Warns where this CPU has no instructions for it."""
    import torch

    name = dtype_name(name, str(device))
    if name == "bfloat16" and device.type == "cpu" and cpu_lacks_bfloat16():
        warnings.warn(
            "this CPU has no instructions for bfloat16, which can take over 50 times as long as float32.",
            SpadeWarning,
            stacklevel=2,
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def cpu_lacks_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 only by way of slow code: over fifty times float32's time."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False  # no Linux: nothing is known, so nothing is said
    return not re.search(r"avx512_bf16|amx_bf16|\bbf16\b|avx512bw", flags)


def _gpu_is_likely() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1", "NoDevFiles"):
        return False
    return _torch_is_built_for_cuda() and _driver_devices() > 0


@cache
def _torch_is_built_for_cuda() -> bool:
    """By the version file that comes with the installed torch."""
    try:
        text = Path(str(metadata.distribution("torch").locate_file("torch/version.py"))).read_text("utf-8")
    except (metadata.PackageNotFoundError, OSError):
        return False
    return re.search(r"^cuda[^=]*= ['\"]", text, re.MULTILINE) is not None


@cache
def _driver_devices() -> int:
    """How many GPUs the driver has, 0 without a driver."""
    return _driver_answer(_count)


@cache
def _gpu_computes_in_bfloat16(number: int) -> bool:
    """By this GPU's compute capability; without a driver that tells, no."""

    def major(cuda: ctypes.CDLL) -> int:
        value, device = ctypes.c_int(), ctypes.c_int()
        if _count(cuda) <= number or cuda.cuDeviceGet(ctypes.byref(device), number):
            return 8
        return 8 if cuda.cuDeviceGetAttribute(ctypes.byref(value), 75, device) else value.value

    return _driver_answer(major) >= 8


def _count(cuda: ctypes.CDLL) -> int:
    number = ctypes.c_int()
    return 0 if cuda.cuDeviceGetCount(ctypes.byref(number)) else number.value


def _driver_answer(ask: Callable[[ctypes.CDLL], int]) -> int:
    """What the CUDA driver's library answers; 0 where there is none, or where it does not start."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            cuda = ctypes.CDLL(name)
            return 0 if cuda.cuInit(0) else ask(cuda)
        except (OSError, AttributeError):
            continue
    return 0


@dataclass(frozen=True)
class Processes:
    """``wait`` returns when all processes have called it."""

    index: int
    count: int
    wait: Callable[[], None]

    @property
    def is_main(self) -> bool:
        """The one that writes manifests and messages."""
        return self.index == 0

    def share(self, batches: Sequence[T]) -> list[T]:
        """This process's batches: whole ones, so that no process regroups the plan."""
        return list(batches[self.index :: self.count])


def processes() -> Processes:
    """The processes of this run (torchrun, accelerate launch); one where no launcher started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, lambda: None)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, state.wait_for_everyone)


def refuse_several(command: str) -> None:
    """Raise SpadeError where a launcher started several processes of a command that runs in one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SpadeError(f"{command} runs in one process so far; start it without torchrun or accelerate launch.")
