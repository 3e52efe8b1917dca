"""Run commands of lipfault in processes forked from a server that has imported everything."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from experiments.runner.process import PRELOADED
from lipfault.cli.main import main

TIMEOUT_S = 300


class Started:
    """A running command; `end` waits for its end.

    Variables that a library reads at its import, `OMP_NUM_THREADS` for example, have the values of
    the fork server.

    Args:
        args: Arguments of `lipfault`.
        variables: The whole environment; by default the environment of this process.
        folder: Working directory; by default the one of this process.
        file_bytes: Largest size of a file that the command can write, to imitate a full disk.
    """

    def __init__(
        self,
        args: Sequence[object],
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        file_bytes: int | None = None,
    ) -> None:
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(PRELOADED)
        receiver, sender = context.Pipe(duplex=False)
        words = [str(arg) for arg in args]
        environment = dict(os.environ if variables is None else variables)
        where = str(folder or Path.cwd())
        self._process = context.Process(
            target=_work, args=(words, environment, where, file_bytes, sender)
        )
        self._process.start()
        sender.close()  # the pipe ends when the last process of the command ends
        self._printed = bytearray()
        self._reader = Thread(target=self._read, args=(receiver,), daemon=True)
        self._reader.start()

    def end(self) -> tuple[int, str]:
        """Wait for the command and for the processes that it started.

        Returns:
            Exit status, and the output of all these processes in order.

        Raises:
            AssertionError: If one of the processes is still running after `TIMEOUT_S`.
        """
        self._process.join(TIMEOUT_S)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
        self._reader.join(TIMEOUT_S)
        printed = self._printed.decode()
        assert status is not None, f'still running after {TIMEOUT_S} s; printed: {printed}'
        assert not self._reader.is_alive(), f'a process has stayed; printed: {printed}'
        return status, printed

    def _read(self, receiver: Connection) -> None:
        with receiver, os.fdopen(os.dup(receiver.fileno()), 'rb', buffering=0) as pipe:
            while text := pipe.read(1 << 16):
                self._printed += text


def command(
    args: Sequence[object], variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[int, str]:
    """Run a command to its end.

    Args:
        args: Arguments of `lipfault`.
        variables: The whole environment; by default the environment of this process.
        folder: Working directory; by default the one of this process.

    Returns:
        Exit status and output.
    """
    return Started(args, variables, folder).end()


def _work(
    args: list[str],
    variables: dict[str, str],
    folder: str,
    file_bytes: int | None,
    printed: Connection,
) -> None:
    for descriptor in (1, 2):  # standard output and error; libraries in C write there, too
        os.dup2(printed.fileno(), descriptor)
    printed.close()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    sys.path[:0] = [path for path in variables.get('PYTHONPATH', '').split(os.pathsep) if path]
    sys.argv = ['lipfault', *args]
    main(args)
