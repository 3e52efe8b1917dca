"""Runs `lipfault` commands in processes forked from one that has imported everything."""

import multiprocessing
import os
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Thread

from lipfault.cli.main import main
from lipfault.errors import LipfaultError

# Lightning first: `typing` caches unions without regard to order, and if a `Union[float, int]` of
# another package (rich) comes before Lightning's `Union[int, float]`, the parser returns 1.0, all
# batches, for `trainer.limit_train_batches: 1`.
PRELOADED = ['lightning', 'lipfault.cli.lightning', 'lipfault.tasks.pretrain',
             'lipfault.tasks.finetune', 'lipfault.report.html']  # fmt: skip
"""Modules that the fork server imports once; each command is forked from there."""


def lipfault(args: list[str]) -> float:
    """Run a command of `lipfault` in a process of its own.

    The process receives SIGTERM when this process ends first.

    Args:
        args: Arguments of `lipfault`.

    Returns:
        CPU seconds of the command. Other load on the machine changes them little, unlike
        wall-clock time.

    Raises:
        LipfaultError: If the command fails; it has printed the reason.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    watched, alive = context.Pipe(duplex=False)  # the system closes `alive` with this process
    process = context.Process(target=_work, args=(args, sender, watched))
    process.start()
    # Only the child may hold these ends: `recv` below then fails as soon as the child ends.
    sender.close()
    watched.close()
    process.join()
    alive.close()
    # The pipe, not the exit status: when two threads start processes, one can collect the status
    # of the other's process.
    try:
        seconds: float = receiver.recv()
    except EOFError as error:
        message = f'lipfault {" ".join(args)} ended with status {process.exitcode}'
        raise LipfaultError(message) from error
    return seconds


def _work(args: list[str], sender: Connection, watched: Connection) -> None:
    Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    sys.argv = ['lipfault', *args]  # recorded in environment.json, and read by Lightning
    main(args)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send(used.ru_utime + used.ru_stime)


def _end_with_parent(watched: Connection) -> None:
    with suppress(EOFError):
        watched.recv()  # nothing is ever sent: it returns when the parent's end is closed
    os.kill(os.getpid(), signal.SIGTERM)
