"""Several jobs at a time, none after a failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

Job = Callable[[], None]


def at_a_time(count: int, jobs: Iterable[Job]) -> None:
    """Do the jobs in order, so many at a time, each in a thread.

    If one fails, or the wait for them is interrupted, those under way come to their end, and no
    other is begun.

    Args:
        count: How many at a time, at least 1.
        jobs: What is to be done.
    """
    stop = Event()

    def begin(job: Job) -> None:
        if stop.is_set():
            return
        try:
            job()
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(count) as pool:
        try:
            for begun in [pool.submit(begin, job) for job in jobs]:
                begun.result()
        finally:
            stop.set()
