"""Values computed once and kept within one budget of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from spade.steps.common import T


class FeatureCache(Generic[T]):
    """Values computed one at a time on first use and kept while they fit a budget of bytes.

    Each is computed alone, never in a batch, so its bits do not depend on what else was asked for or kept.
    """

    def __init__(self, compute: Callable[[int], T], size: Callable[[T], int], budget: int = 4 << 30) -> None:
        self._compute, self._size, self._left = compute, size, budget
        self._kept: dict[int, T] = {}

    def __getitem__(self, index: int) -> T:
        if index in self._kept:
            return self._kept[index]
        value = self._compute(index)
        if (needed := self._size(value)) <= self._left:
            self._left -= needed
            self._kept[index] = value
        return value
