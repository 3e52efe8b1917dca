"""The entry point: `lipfault fit|validate|test|predict|certify` and the other commands."""

import itertools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
from rich.console import Console
from rich.text import Text

from lipfault.cli.error_messages import user_error

EVALUATIONS = ('validate', 'test', 'predict')
CERTIFIER = 'lipfault.callbacks.certificate.CertificateWriter'
BESIDE_THE_POINT = (
    "LightningCLI's args parameter is intended",  # the arguments are completed before they go there
    'Be aware that when using `ckpt_path`, callbacks',  # of the training; a test has others
    'Experiment logs directory',  # that it is not empty; the metrics in it have been put aside
    r'`isinstance\(treespec, LeafSpec\)` is deprecated',  # in the source of Lightning
)
"""Beginnings of what Lightning and torch warn of in every command."""


def main(args: list[str] | None = None) -> None:
    """Run a command; a mistake that the user can mend is one line and exit status 1."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        _dispatch(args)
    except Exception as error:
        mistake = user_error(error)
        if mistake is None:
            raise
        message = Text.assemble(('lipfault: error: ', 'bold red'), str(mistake))
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        raise SystemExit(1) from error


def _dispatch(args: list[str]) -> None:
    commands = _commands(args[0]) if args else None
    if commands is not None:
        args = ['--dry_run=true' if arg == '--dry-run' else arg for arg in args]
        program = f'lipfault {args[0]}'
        jsonargparse.auto_cli(commands, args=args[1:], as_positional=False, prog=program)  # type: ignore[arg-type]
        return
    from lipfault.cli.lightning import build

    for message in BESIDE_THE_POINT:
        warnings.filterwarnings('ignore', message)
    if args and args[0] == 'certify':
        args = ['test', *args[1:], f'--trainer.callbacks+={CERTIFIER}']
    cli = build(_with_config_of_run(args))
    if cli.subcommand in ('fit', 'test') and cli.trainer.is_global_zero:
        drawn = _report(cli.run_folder) if cli.config[cli.subcommand].report else 'no report drawn'
        message = f'run folder {cli.run_folder}, {drawn}'
        Console().print(message, highlight=False, soft_wrap=True)


def _report(run: Path) -> str:
    """Draw the report of a run, unless a few steps have logged nothing to draw."""
    from lipfault.report.html import write_report

    if not any((run / name).exists() for name in ('metrics.json', 'metrics.csv')):
        return 'no report: nothing was logged (trainer.log_every_n_steps)'
    return f'report {write_report(run)}'


def _commands(name: str) -> dict[str, Callable[..., Any]] | Callable[..., Any] | None:
    """Functions behind a command beside those of Lightning, imported only when asked for."""
    if name == 'data':
        from lipfault.cli import data

        return data.COMMANDS
    if name == 'faults':
        from lipfault.cli import faults

        return faults.COMMANDS
    if name == 'report':
        from lipfault.cli.report import report

        return report
    if name == 'dashboard':
        from lipfault.cli.dashboard import dashboard

        return dashboard
    if name == 'sweep':
        from lipfault.cli.sweep import sweep

        return sweep
    return None


def _with_config_of_run(args: list[str]) -> list[str]:
    """Let an evaluation without `--config` use the configuration of the run it evaluates."""
    from lipfault.runs.checkpoints import CONFIG_NAME, find_checkpoint

    given = {a.split('=')[0] for a in args}
    if not args or args[0] not in EVALUATIONS or given & {'--config', '-c'}:
        return args
    weights, folders = (_values(args, option) for option in ('--ckpt_path', '--run'))
    for wanted in set(weights) - {'best', 'last'}:
        find_checkpoint(wanted)
    for path in map(Path, weights + folders):
        for folder in (path, path.parent.parent):
            if (folder / CONFIG_NAME).is_file():
                # Whether the fit drew its page says nothing of the evaluation.
                return [
                    args[0], '--config', str(folder / CONFIG_NAME), '--report=true', *args[1:]
                ]  # fmt: skip
    return args


def _values(args: list[str], option: str) -> list[str]:
    """What is given for an option, as `--option value` or `--option=value`."""
    apart = [b for a, b in itertools.pairwise(args) if a == option]
    return apart + [a.split('=', 1)[1] for a in args if a.startswith(f'{option}=')]
