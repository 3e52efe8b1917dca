"""`python -m experiments`: list the experiments, run them, put their figures together."""

import argparse
import logging
import sys
from fnmatch import fnmatch

from experiments.runner.catalogue import PRESETS, experiment, experiments, results_folder
from experiments.runner.execute import execute, wanted_state
from experiments.runner.run import Run, with_stage_one
from experiments.runner.state import read_state
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
    given = parser.parse_args(args)
    logging.getLogger('lightning').setLevel(logging.WARNING)
    logging.getLogger('lightning.fabric').setLevel(logging.WARNING)
    try:
        if given.command == 'list':
            show()
        for name in [] if given.command == 'list' else given.names or list(experiments()):
            if given.command == 'run':
                run(name, given.preset, given.only)
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


def run(name: str, preset: str, only: str = '*') -> None:
    """Bring the runs of an experiment to their end.

    Args:
        name: The experiment.
        preset: `quick` or `full`.
        only: Pattern of the names of the runs, below the preset; stage 1 comes by itself.

    Raises:
        LipfaultError: If there are runs, but none of such a name.
    """
    results_folder(name, preset)
    planned = experiment(name).runs(preset)
    chosen = [r for r in planned if fnmatch(r.name, f'{preset}/{only}')]
    if planned and not chosen:
        names = ', '.join(r.name.removeprefix(f'{preset}/') for r in planned)
        raise LipfaultError(f'--only: no run of {name} is called {only!r}; there are {names}')
    runs = with_stage_one(chosen)
    wanted = [wanted_state(each) for each in runs]
    for number, (each, state) in enumerate(zip(runs, wanted, strict=True), 1):
        sys.stdout.write(f'{name}: run {number} of {len(runs)}, {each.name}\n')
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
