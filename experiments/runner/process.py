"""Runs `lipfault` commands, each in a process of its own that has imported everything already."""

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

PRELOADED = ['lipfault.cli.lightning', 'lipfault.tasks.pretrain', 'lipfault.tasks.finetune',
             'lipfault.report.html']  # fmt: skip
"""Imported once; the processes of the commands are forked from there, before any of them works."""


def lipfault(args: list[str]) -> float:
    """Run a command; it is ended with SIGTERM if this process ends before it.

    Args:
        args: Arguments of `lipfault`.

    Returns:
        CPU seconds: unlike the time on the clock, other loads change them little.

    Raises:
        LipfaultError: If it fails; it has said why.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    watched, alive = context.Pipe(duplex=False)  # closed by the system when this process ends
    process = context.Process(target=_work, args=(args, sender, watched))
    process.start()
    sender.close()
    watched.close()
    process.join()
    alive.close()
    # Not the exit status: of two threads that start processes one may lose that of the other's.
    try:
        seconds: float = receiver.recv()
    except EOFError as error:
        message = f'lipfault {" ".join(args)} ended with status {process.exitcode}'
        raise LipfaultError(message) from error
    return seconds


def _work(args: list[str], sender: Connection, watched: Connection) -> None:
    Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    sys.argv = ['lipfault', *args]  # what a run notes down, and what Lightning looks at
    main(args)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send(used.ru_utime + used.ru_stime)


def _end_with_parent(watched: Connection) -> None:
    with suppress(EOFError):
        watched.recv()
    os.kill(os.getpid(), signal.SIGTERM)
