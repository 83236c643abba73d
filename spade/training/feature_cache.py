"""Values computed once and kept within one budget of memory, shared by training and validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
BUDGET = 4 << 30  # bytes


class FeatureCache:
    """One budget of bytes for several kinds of values.

    What comes first stays: every epoch asks for everything in another order, so giving up the least recently used would
    keep nothing that is asked for next.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget

    def view(self, compute: Callable[[int], T], size: Callable[[T], int]) -> CachedValues[T]:
        """Values of one kind: ``compute`` makes that of an index, ``size`` says how many bytes one takes."""
        return CachedValues(self, compute, size)


class CachedValues(Generic[T]):
    """Values by index, computed on first use and kept while the shared budget lasts.

    Each is computed alone, never in a batch, so its bits do not depend on what else was asked for or kept.
    """

    def __init__(self, cache: FeatureCache, compute: Callable[[int], T], size: Callable[[T], int]) -> None:
        self._cache, self._compute, self._size = cache, compute, size
        self._kept: dict[int, T] = {}

    def __getitem__(self, index: int) -> T:
        if index in self._kept:
            return self._kept[index]
        value = self._compute(index)
        needed = self._size(value)
        if needed <= self._cache.left:
            self._cache.left -= needed
            self._kept[index] = value
        return value
