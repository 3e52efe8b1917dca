"""Command line `python -m experiments`: list experiments, run them, report their results."""

import argparse
import logging
import sys
from fnmatch import fnmatch
from functools import partial

from experiments.runner.catalogue import PRESETS, experiment, experiments, results_folder
from experiments.runner.execute import execute, wanted_state
from experiments.runner.jobs import at_a_time
from experiments.runner.run import Run, with_stage_one
from experiments.runner.state import State, read_state
from lipfault.errors import LipfaultError


def main(args: list[str] | None = None) -> int:
    """Run the command line; print a user's error on one line.

    Args:
        args: Arguments without the program's name; those of the process if None.

    Returns:
        Exit status: 0, or 1 after a `LipfaultError`.
    """
    given = _parser().parse_args(args)
    # Each run is a training of its own; Lightning's notes on devices and checkpoints would bury
    # the one line per run.
    logging.getLogger('lightning').setLevel(logging.WARNING)
    logging.getLogger('lightning.fabric').setLevel(logging.WARNING)
    try:
        if given.command == 'list':
            show()
            return 0
        for name in given.names or list(experiments()):
            if given.command == 'run':
                run(name, given.preset, given.only, given.jobs)
            report(name, given.preset)
    except LipfaultError as error:
        sys.stderr.write(f'experiments: error: {error}\n')
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m experiments', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='list the experiments with cost and state')
    for name, text in (('run', 'train, test and report'), ('report', 'report the finished runs')):
        command = commands.add_parser(name, help=text)
        command.add_argument('names', nargs='*', help='experiments; default: all')
        command.add_argument('--preset', choices=PRESETS, default='quick')
        if name == 'run':
            command.add_argument(
                '--only', default='*', help="pattern of run names, with wildcards: 'ur5-0/*'"
            )
            command.add_argument(
                '--jobs', type=int, default=1, help='parallel runs (with OMP_NUM_THREADS=1)'
            )
    return parser


def show() -> None:
    """Print question, cost and number of finished runs of every experiment."""
    for name, found in experiments().items():
        sys.stdout.write(f'{name}\n  {found.question}\n')
        for preset in PRESETS:
            runs = with_stage_one(found.runs(preset))
            done = sum(_is_tested(run) for run in runs)
            sys.stdout.write(f'  {preset:6}{found.cost[preset]:>10}  {done} of {len(runs)} runs\n')


def _is_tested(run: Run) -> bool:
    try:
        state = read_state(run.folder)
    except LipfaultError:
        return False  # the folder holds something else; `run` reports it, a list must not fail
    return state is not None and state.done == 'tested'


def run(name: str, preset: str, only: str = '*', jobs: int = 1) -> None:
    """Train and test the runs of an experiment, resuming interrupted ones.

    Args:
        name: Name of the experiment.
        preset: `quick` or `full`.
        only: Pattern of run names without the preset; needed runs of stage 1 are added.
        jobs: Number of parallel runs, at least 1.

    Raises:
        LipfaultError: If `jobs` is below 1, no run matches `only`, or a run fails. After a
            failure the runs in progress are completed and no other is started.
    """
    results_folder(name, preset)  # refuses an unknown preset before anything is trained
    if jobs < 1:
        raise LipfaultError(f'--jobs: must be at least 1, got {jobs}')
    planned = experiment(name).runs(preset)
    chosen = [r for r in planned if fnmatch(r.name, f'{preset}/{only}')]
    if planned and not chosen:
        names = ', '.join(r.name.removeprefix(f'{preset}/') for r in planned)
        raise LipfaultError(f'--only: no run of {name} is called {only!r}; there are {names}')
    # Every configuration is parsed before the first training, so that a typo costs seconds.
    wanted = [(each, wanted_state(each)) for each in with_stage_one(chosen)]
    # Stage 2 loads the checkpoint of stage 1: all runs of stage 1 come before any of stage 2.
    for stage_one in (True, False):
        of_stage = [pair for pair in wanted if (pair[0].pretrained is None) == stage_one]
        at_a_time(jobs, [partial(_execute, name, *pair) for pair in of_stage])


def _execute(name: str, each: Run, state: State) -> None:
    sys.stdout.write(f'{name}: {each.name}\n')
    sys.stdout.flush()  # the output of the run's own process follows
    execute(each, state)


def report(name: str, preset: str) -> None:
    """Write results and figures of the finished runs of an experiment.

    Args:
        name: Name of the experiment.
        preset: `quick` or `full`.
    """
    folder = results_folder(name, preset)
    folder.mkdir(parents=True, exist_ok=True)
    experiment(name).report(preset, folder)
    sys.stdout.write(f'{name}: results in {folder}\n')


if __name__ == '__main__':
    sys.exit(main())
