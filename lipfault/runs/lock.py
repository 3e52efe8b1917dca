"""Lock of a run folder, so that two trainings never write the same files."""

import os
import sys
from pathlib import Path

from lipfault.errors import LipfaultError

LOCK_NAME = '.lipfault.lock'
"""Name of the lock file in a run folder; it stays there and means nothing by itself."""


class RunLock:
    """Hold the lock of a run folder until `release`, or until the process ends.

    A record lock of POSIX belongs to the process: the system drops it however the process ends, and
    workers of a data loader that outlive it do not hold it. A lock file that is left behind blocks
    nobody. Windows has no such locks; there nothing is locked.

    Args:
        run: The run folder; made if it does not exist.

    Attributes:
        signed: Whether the process has begun to write the run.

    Raises:
        LipfaultError: If another process trains in the folder, or the folder cannot be written.
    """

    signed = False

    def __init__(self, run: Path) -> None:
        """Take the lock."""
        self.path = run / LOCK_NAME
        try:
            run.mkdir(parents=True, exist_ok=True)
            # Never through a link: it could lead out of the run.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0)
            self._file = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise LipfaultError(
                f'run folder {run} cannot be written: {error.strerror}: {self.path}'
            ) from error
        _HELD.append(self)
        try:
            _take(self._file)
        except OSError as error:
            holder = os.read(self._file, 20).decode(errors='replace').strip()
            self.release()
            raise LipfaultError(
                f'another process{f" ({holder})" * holder.isdigit()} is training in the run folder '
                f'{run}: wait for its end, or choose another --run'
            ) from error

    def sign(self) -> None:
        """Write the number of the process into the file, for messages of other processes.

        Not done when the lock is taken: a command that is refused afterwards changes no file.
        """
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f'{os.getpid()}\n'.encode(), 0)
        self.signed = True

    def release(self) -> None:
        """Give the lock back; a second call has no effect."""
        if self in _HELD:
            _HELD.remove(self)
            os.close(self._file)


_HELD: list[RunLock] = []
"""Locks of this process."""


def release_locks() -> None:
    """Give back all locks of this process, after a command that has failed."""
    for lock in list(_HELD):
        lock.release()


def _take(file: int) -> None:
    """Take the lock of an open file; raises OSError if another process has it."""
    if sys.platform != 'win32':
        import fcntl  # POSIX only

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
