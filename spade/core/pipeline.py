"""Reading, computing and writing of many items at the same time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Read = TypeVar("Read")
AHEAD, BEHIND = 2, 4  # items that are read before they are needed, and that wait to be written


def overlapped(
    items: Iterable[T], read: Callable[[T], Read], work: Callable[[T, Read], Callable[[], None] | None]
) -> Iterator[T]:
    """Each item once it is worked on: ``read`` runs ahead in one thread, ``work`` in the caller's, and what ``work``
    returns is called behind in another thread, in order.

    All that was to be written is written when the iteration ends. An error of any of the three ends it.
    """
    source = iter(items)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reading: deque[tuple[T, Future[Read]]] = deque()
        writing: deque[Future[None]] = deque()
        try:
            reading.extend((item, reader.submit(read, item)) for item in islice(source, AHEAD))
            while reading:
                item, future = reading.popleft()
                content = future.result()
                reading.extend((more, reader.submit(read, more)) for more in islice(source, 1))
                if (write := work(item, content)) is not None:
                    writing.append(writer.submit(write))
                while len(writing) > BEHIND or (writing and writing[0].done()):
                    writing.popleft().result()
                yield item
            while writing:
                writing.popleft().result()
        finally:
            for _, future in reading:
                future.cancel()
