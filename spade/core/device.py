"""Where a run computes: device, number format, and how many processes share it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from spade.core.errors import SpadeError

DTYPES = ("float32", "float16", "bfloat16")


def pick_device(name: str) -> torch.device:
    """Turn "auto" into the first GPU, or the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
    except RuntimeError:
        raise SpadeError(f"--device {name}: no such device; use auto, cpu, cuda or cuda:0.") from None
    if (device.type == "mps" and not torch.backends.mps.is_available()) or (
        device.type == "cuda" and not torch.cuda.is_available()
    ):
        raise SpadeError(f"--device {name}: this machine has no GPU that torch can use; use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SpadeError(f"--device {name}: this machine has {torch.cuda.device_count()} GPU(s), counted from cuda:0.")
    return device


def pick_dtype(name: str, device: torch.device) -> str:
    """Turn "auto" into bfloat16 on a GPU that computes in it, else float32: half precision is about twice as fast
    there.

    A CPU gets it only by name: few have the instructions.
    """
    if name == "auto":
        return (
            "bfloat16"
            if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            else "float32"
        )
    if name not in DTYPES:
        raise SpadeError(f"dtype {name}: unknown number format; use auto, {', '.join(DTYPES)}.")
    return name


T = TypeVar("T")


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
    """The processes of this run; one, without any communication, where no launcher started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, lambda: None)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, state.wait_for_everyone)


def refuse_several(command: str) -> None:
    """Raise SpadeError where a launcher started several processes of a command that runs in one."""
    from spade.core.errors import SpadeError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SpadeError(f"{command} runs in one process so far; start it without torchrun or accelerate launch.")
