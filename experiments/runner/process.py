"""Runs `lipfault` commands, each in a process of its own that has imported everything already."""

import multiprocessing
import resource
import sys
from multiprocessing.connection import Connection

from lipfault.errors import LipfaultError
from lipfault.main import main

PRELOADED = ['lipfault.cli', 'lipfault.tasks.pretrain', 'lipfault.tasks.finetune',
             'lipfault.report.html']  # fmt: skip
"""Imported once; the processes of the commands are forked from there, before any of them works."""


def lipfault(args: list[str]) -> float:
    """Run a command.

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
    process = context.Process(target=_work, args=(args, sender))
    process.start()
    sender.close()
    process.join()
    if process.exitcode:
        raise LipfaultError(f'lipfault {" ".join(args)} ended with status {process.exitcode}')
    seconds: float = receiver.recv()
    return seconds


def _work(args: list[str], sender: Connection) -> None:
    sys.argv = ['lipfault', *args]  # what a run notes down, and what Lightning looks at
    main(args)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send(used.ru_utime + used.ru_stime)
