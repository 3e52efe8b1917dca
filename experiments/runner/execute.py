"""Training and test of a run, resumable after an interruption."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from experiments.runner.process import lipfault
from experiments.runner.run import Run
from experiments.runner.state import State, check_unchanged, flat, read_state
from lipfault.cli.lightning import settings
from lipfault.errors import LipfaultError

Command = Callable[[list[str]], float]
"""Runs `lipfault` with arguments and returns its CPU seconds."""


def wanted_state(run: Run, settings_of: Callable[[list[str]], dict[str, Any]] = settings) -> State:
    """Return the state with which a run would start now.

    Args:
        run: The run.
        settings_of: Parses the arguments of `lipfault fit` into nested settings.
    """
    below = '' if run.pretrained is None else wanted_state(run.pretrained, settings_of).hash
    # A copy: the cached settings are shared by all runs with these arguments.
    return State(dict(_parsed(tuple(run.settings), settings_of)), below)


@cache
def _parsed(
    args: tuple[str, ...], settings_of: Callable[[list[str]], dict[str, Any]]
) -> dict[str, Any]:
    """Parse arguments once: about 0.2 s each, and many runs load the same stage 1."""
    return flat(settings_of(['fit', *args]))


def execute(run: Run, wanted: State, command: Command = lipfault) -> State:
    """Train and test a run; return at once if it is already tested.

    Args:
        run: The run.
        wanted: Its state from `wanted_state`.
        command: Runs `lipfault` with arguments.

    Returns:
        The state after the test.

    Raises:
        LipfaultError: If the folder holds a run of another configuration, another runner holds
            its lock, or a command fails.
    """
    with _alone(run.folder):
        state = read_state(run.folder)
        resumed = state is not None and state.done == 'started'
        if state is not None:
            check_unchanged(state, wanted, run.folder)
        else:
            state = wanted
            state.write(run.folder)
        if state.done == 'started':
            # The folder is never empty (it holds the state), and `fit` refuses a folder that is
            # not empty unless it resumes; without a checkpoint `last` starts from the beginning.
            seconds = command(['fit', *run.settings, *run.place, '--ckpt_path', 'last'])
            if not resumed:
                state.cpu_s['fit'] = seconds
            state.done = 'fitted'
            state.write(run.folder)
        if state.done == 'fitted':
            state.cpu_s['test'] = command(['test', '--ckpt_path', run.where, '--report=false'])
            state.done = 'tested'
            state.write(run.folder)
    return state


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a run; the system releases it when the process ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, not in it: an empty folder means a run that was never started.
    with folder.with_name(f'.{folder.name}.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LipfaultError(f'another runner works on {folder}; wait for it') from error
        yield
