"""`python -m experiments`: list the experiments, run them, put their figures together."""

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
    """List, run or report; a mistake that the user can mend is one line."""
    parser = argparse.ArgumentParser(prog='python -m experiments', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='experiments with their cost and state')
    for name, text in (('run', 'train, test and report'), ('report', 'report what is done')):
        command = commands.add_parser(name, help=text)
        command.add_argument('names', nargs='*', help='experiments; all if none is named')
        command.add_argument('--preset', choices=PRESETS, default='quick')
        if name == 'run':
            command.add_argument(
                '--only', default='*', help="runs of this name, with wildcards: 'ur5-0/*'"
            )
            command.add_argument(
                '--jobs', type=int, default=1, help='runs at a time (with OMP_NUM_THREADS=1)'
            )
    given = parser.parse_args(args)
    logging.getLogger('lightning').setLevel(logging.WARNING)
    logging.getLogger('lightning.fabric').setLevel(logging.WARNING)
    try:
        if given.command == 'list':
            show()
        for name in [] if given.command == 'list' else given.names or list(experiments()):
            if given.command == 'run':
                run(name, given.preset, given.only, given.jobs)
            report(name, given.preset)
    except LipfaultError as error:
        sys.stderr.write(f'experiments: error: {error}\n')
        return 1
    return 0


def show() -> None:
    """Question, cost and state of every experiment."""
    for name, found in experiments().items():
        sys.stdout.write(f'{name}\n  {found.question}\n')
        for preset in PRESETS:
            runs = with_stage_one(found.runs(preset))
            done = sum(_is_tested(each) for each in runs)
            sys.stdout.write(f'  {preset:6}{found.cost[preset]:>10}  {done} of {len(runs)} runs\n')


def _is_tested(run: Run) -> bool:
    try:
        state = read_state(run.folder)
    except LipfaultError:
        return False  # something else lies there; `run` says what
    return state is not None and state.done == 'tested'


def run(name: str, preset: str, only: str = '*', jobs: int = 1) -> None:
    """Bring the runs of an experiment to their end.

    Args:
        name: The experiment.
        preset: `quick` or `full`.
        only: Pattern of the names of the runs, below the preset; stage 1 comes by itself.
        jobs: How many runs at a time, at least 1.

    Raises:
        LipfaultError: If there are runs, but none of such a name, or a run fails; those that are
            under way then come to their end, no other is begun.
    """
    results_folder(name, preset)
    if jobs < 1:
        raise LipfaultError(f'--jobs: must be at least 1, got {jobs}')
    planned = experiment(name).runs(preset)
    chosen = [r for r in planned if fnmatch(r.name, f'{preset}/{only}')]
    if planned and not chosen:
        names = ', '.join(r.name.removeprefix(f'{preset}/') for r in planned)
        raise LipfaultError(f'--only: no run of {name} is called {only!r}; there are {names}')
    wanted = [(each, wanted_state(each)) for each in with_stage_one(chosen)]
    for stage_one in (True, False):
        of_stage = [pair for pair in wanted if (pair[0].pretrained is None) == stage_one]
        at_a_time(jobs, [partial(_execute, name, *pair) for pair in of_stage])


def _execute(name: str, each: Run, state: State) -> None:
    sys.stdout.write(f'{name}: {each.name}\n')
    sys.stdout.flush()
    execute(each, state)


def report(name: str, preset: str) -> None:
    """Write results and figures of what is done."""
    folder = results_folder(name, preset)
    folder.mkdir(parents=True, exist_ok=True)
    experiment(name).report(preset, folder)
    sys.stdout.write(f'{name}: results in {folder}\n')


if __name__ == '__main__':
    sys.exit(main())
