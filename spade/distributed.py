"""How many processes share a run, and which of them this is (torchrun or accelerate launch)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
    from spade.errors import SpadeError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SpadeError(f"{command} runs in one process so far; start it without torchrun or accelerate launch.")
