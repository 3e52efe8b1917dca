"""Trains and tests runs, going on where an earlier attempt stopped."""

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
"""Runs `lipfault` with arguments, and gives the CPU seconds it took."""


def wanted_state(run: Run, settings_of: Callable[[list[str]], dict[str, Any]] = settings) -> State:
    """The state with which a run would start now."""
    below = '' if run.pretrained is None else wanted_state(run.pretrained, settings_of).hash
    return State(dict(_parsed(tuple(run.settings), settings_of)), below)


@cache
def _parsed(
    args: tuple[str, ...], settings_of: Callable[[list[str]], dict[str, Any]]
) -> dict[str, Any]:
    """The flat configuration; parsed once, since many runs stand on one stage 1."""
    return flat(settings_of(['fit', *args]))


def execute(run: Run, wanted: State, command: Command = lipfault) -> State:
    """Bring a run to its end; nothing happens if it is tested already.

    Args:
        run: The run.
        wanted: From `wanted_state`.
        command: Runs `lipfault` with arguments.

    Raises:
        LipfaultError: If the folder holds a run of another configuration, another process works on
            it, or a command fails.
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
            # The folder holds the state at least, so that every fit is a resumed one.
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
    """Keep other runners off a run; the lock goes with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f'.{folder.name}.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LipfaultError(f'another runner works on {folder}; wait for it') from error
        yield
