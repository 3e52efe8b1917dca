"""The entry point: check the words, import the command that they name, run it."""

import os
import sys
from typing import Any

from lipfault import __version__
from lipfault.cli.arguments import completed, with_names
from lipfault.cli.commands import COMMANDS, Command, help_text
from lipfault.cli.error_messages import user_error
from lipfault.cli.usage import (
    UsageError,
    asks_for_help,
    check_command,
    check_function,
    check_stage,
)

_USAGE, _FAILURE = 2, 1
"""Exit status of a command line with a wrong word, and of any other error the user can correct."""


def main(args: list[str] | None = None) -> None:
    """Run a command.

    Args:
        args: Command and options; those of this process if not given.

    Raises:
        SystemExit: With a line on stderr and status 1 or 2 if the user can correct the error; with
            status 0 after a help text or the version.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        _run(args)
    except Exception as error:
        correctable = user_error(error)
        if correctable is None:
            raise
        _print_error(str(correctable))
        status = _USAGE if isinstance(correctable, UsageError) else _FAILURE
        raise SystemExit(status) from error


def _run(args: list[str]) -> None:
    name = args[0] if args else ''
    if name in ('-h', '--help', '--version'):
        _print(f'lipfault {__version__}' if name == '--version' else help_text())
        raise SystemExit(0)
    if not name:
        raise UsageError('name a command (lipfault --help)')
    if name.split('=')[0] in ('-c', '--config', '--print_config'):
        # A file that holds the settings of several subcommands, each under its name.
        COMMANDS['fit'].load()(args)
        return
    command = check_command(name)
    if command.stage:
        _run_stage(name, command, args)
    else:
        _run_function(name, command, args[1:])


def _run_stage(name: str, command: Command, args: list[str]) -> None:
    """Check what can be checked in milliseconds, then import Lightning."""
    # A help text needs no configuration; `certify` is none of Lightning's subcommands.
    args = args if asks_for_help(args) and name != 'certify' else completed(args)
    check_stage(name, args)
    # Processes that Lightning starts have a LOCAL_RANK and would repeat the line.
    first = os.environ.get('LOCAL_RANK', '0') == '0'
    if first and 'lightning' not in sys.modules:
        _print(f'lipfault {name}: importing PyTorch and Lightning', stderr=True)
    command.load()(args)


def _run_function(name: str, command: Command, args: list[str]) -> None:
    """Run a function whose parameters are the options."""
    args = ['--dry_run=true' if word == '--dry-run' else word for word in args]
    args = with_names(args, command.unnamed)
    check_function(name, command, args)
    # Not at the top: half of the time that a wrong word takes to be answered.
    import jsonargparse

    functions: Any = command.load()
    jsonargparse.auto_cli(
        functions, args=args, as_positional=False, prog=f'lipfault {name}', exit_on_error=False
    )


def _print_error(text: str) -> None:
    # Rich at its use only. Its import before Lightning makes `typing` keep its `int | float` for
    # Lightning's `float | int`: 1 batch would be parsed as 1.0, all batches.
    from rich.console import Console
    from rich.text import Text

    message = Text.assemble(('lipfault: error: ', 'bold red'), text)
    Console(stderr=True).print(message, highlight=False, soft_wrap=True)


def _print(text: str, stderr: bool = False) -> None:
    (sys.stderr if stderr else sys.stdout).write(f'{text}\n')
