"""How many threads a step computes on."""

from __future__ import annotations

import os

from spade.diffusion.backbone_files import backbone_defaults, resolve_backbone

_others: list[int] = []  # what torch had before a step of this process took one


def settle_threads(backbone: str | None = None) -> None:
    """One thread for a tiny backbone, whose batches are small, and for heads without any (None): waking another takes
    longer than what it would do. Sums then do not depend on the number of cores either. Others have what torch had,
    and OMP_NUM_THREADS decides where it is set.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    if backbone is None or backbone_defaults(resolve_backbone(backbone)).is_tiny:
        if not _others:
            _others.append(torch.get_num_threads())
        torch.set_num_threads(1)
    elif _others:
        torch.set_num_threads(_others.pop())
