"""The commands of `lipfault`: where each is implemented, and its line of the help text."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Command:
    """An entry of the command table.

    The implementation is named by strings, as an entry point of a package is, so that reading the
    table imports nothing.

    Args:
        module: Module of the implementation.
        attribute: Its name there. For a stage a function of the list of arguments; else a function
            whose parameters are the options, or a dictionary of such functions by subcommand.
        summary: One line for the help text.
        stage: Whether the command runs a stage with Lightning.
        unnamed: Option that words before the first option are values of; empty for none.
    """

    module: str
    attribute: str
    summary: str
    stage: bool = False
    unnamed: str = ''

    def load(self) -> Any:  # noqa: ANN401
        """Import the implementation.

        Returns:
            What `module` has under `attribute`.
        """
        return getattr(import_module(self.module), self.attribute)


_STAGES = 'lipfault.cli.lightning'

COMMANDS = {
    'fit': Command(_STAGES, 'run', 'train stage 1 or stage 2', stage=True),
    'validate': Command(_STAGES, 'run', 'measure the validation split', stage=True),
    'test': Command(_STAGES, 'run', 'measure the test split and draw the report', stage=True),
    'predict': Command(_STAGES, 'run', 'write the predictions for a recording', stage=True),
    'certify': Command(_STAGES, 'run', 'test, bound the effect of faults (or --quick)', stage=True),
    'report': Command('lipfault.cli.report', 'report', 'draw the report of a run again'),
    'data': Command('lipfault.cli.data', 'COMMANDS', 'simulate, inspect and check recordings'),
    'data import': Command(
        'lipfault.cli.data_import',
        'import_data',
        'import recordings of other formats',
        unnamed='source',
    ),
    'audit': Command(
        'lipfault.cli.audit', 'audit', 'name broken sensors of a data set', unnamed='dataset'
    ),
    'faults': Command('lipfault.cli.faults', 'COMMANDS', 'list and draw the kinds of faults'),
    'sweep': Command('lipfault.cli.sweep', 'sweep', 'train over a grid of settings'),
    'dashboard': Command('lipfault.cli.dashboard', 'dashboard', 'build the dashboard in W&B'),
}
"""Commands by name, in the order of the help text."""


def help_text() -> str:
    """Return the text of `lipfault --help`."""
    lines = [f'  {name:<11} {command.summary}' for name, command in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: lipfault COMMAND [--option value ...]',
            '',
            'Fault-tolerant multimodal representation learning.',
            '',
            'commands:',
            *lines,
            '',
            'options:',
            '  --help     of a command: lipfault COMMAND --help',
            '  --version  print the version',
            '',
            'start with: lipfault fit --config pretrain --run runs/first',
        ]
    )
