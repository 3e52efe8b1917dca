"""Produce the items of an iterator in a thread, while the consumer works on those before."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar('T')

# Items produced ahead.
_AHEAD = 2


def prefetched(items: Iterable[T]) -> Iterator[T]:
    """Yield items that a thread produces ahead.

    An error of the producer is raised at the place where its item would come. The thread ends when
    the consumer stops early.

    Args:
        items: The items.

    Yields:
        The same items in the same order.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(_AHEAD)
    stopped = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, stopped), daemon=True)
    thread.start()
    try:
        while True:
            good, item = ready.get()
            if good:
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        stopped.set()
        thread.join()


def _produce(
    items: Iterable[T],
    ready: 'queue.Queue[tuple[bool, T | BaseException | None]]',
    stopped: threading.Event,
) -> None:
    """Put items into the queue, then the end or an error."""
    last: BaseException | None = None
    try:
        for item in items:
            if not _put(ready, (True, item), stopped):
                return
    except BaseException as error:
        last = error
    _put(ready, (False, last), stopped)


def _put(ready: 'queue.Queue[T]', item: T, stopped: threading.Event) -> bool:
    """Wait for a place in the queue; return false if the consumer has stopped."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
