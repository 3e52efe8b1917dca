"""Commands of lipfault, each in a process of its own that has imported everything already."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.runner.process import PRELOADED
from lipfault.main import main

TIMEOUT_S = 300


def command(
    args: Sequence[object], variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[int, str]:
    """Run a command of lipfault to its end.

    What is read when a library is imported (`OMP_NUM_THREADS` for one) is that of this process.

    Args:
        args: Arguments of `lipfault`.
        variables: The whole environment; that of this process if not given.
        folder: Where to run it; here if not given.

    Returns:
        Exit status, and what was printed, in order.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    with tempfile.NamedTemporaryFile() as printed:
        words = [str(arg) for arg in args]
        environment = dict(os.environ if variables is None else variables)
        where = str(folder or Path.cwd())
        process = context.Process(target=_work, args=(words, environment, where, printed.name))
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        text = Path(printed.name).read_text()
    assert process.exitcode is not None
    return process.exitcode, text


def _work(args: list[str], variables: dict[str, str], folder: str, printed: str) -> None:
    with Path(printed).open('a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.path[:0] = [path for path in variables.get('PYTHONPATH', '').split(os.pathsep) if path]
    sys.argv = ['lipfault', *args]
    main(args)
