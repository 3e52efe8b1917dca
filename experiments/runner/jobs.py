"""Jobs in parallel threads, none started after a failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

Job = Callable[[], None]


def at_a_time(count: int, jobs: Iterable[Job]) -> None:
    """Run jobs in order, several at a time, each in a thread.

    If a job fails or the wait is interrupted, the jobs in progress are completed and no other is
    started.

    Args:
        count: Number of parallel jobs, at least 1.
        jobs: Functions without arguments.
    """
    stop = Event()

    def begin(job: Job) -> None:
        if stop.is_set():
            return
        try:
            job()
        except BaseException:
            # Set in the thread that failed: the waiting thread may still wait for an earlier job.
            stop.set()
            raise

    with ThreadPoolExecutor(count) as pool:
        try:
            for begun in [pool.submit(begin, job) for job in jobs]:
                begun.result()
        finally:
            stop.set()
