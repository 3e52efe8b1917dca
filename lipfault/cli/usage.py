"""Check the words of a command line before anything slow is imported.

Every check errs on the side of accepting: what is accepted here and wrong all the same, such as a
value of the wrong type, is refused by the parser that runs afterwards.
"""

import difflib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lipfault.cli.commands import COMMANDS, Command
from lipfault.cli.option_names import nearest_name, unknown_name
from lipfault.cli.run_options import RUN_OPTIONS
from lipfault.cli.signatures import (
    Options,
    class_names,
    class_options,
    dictionary_names,
    function_options,
)
from lipfault.errors import LipfaultError
from lipfault.runs.config import require_small
from lipfault.runs.config_diff import flattened

_TRAINER = 'lightning.pytorch.trainer.trainer'
_DATA = 'lipfault.data.datamodule.RecordingDataModule'
_TASKS = ('lipfault.tasks.pretrain.PretrainTask', 'lipfault.tasks.finetune.FinetuneTask')
_PARSER_OPTIONS = ('config', 'help', 'print_config', 'print_shtab')
_NOT_OPTIONS = (
    'model', 'train_dataloaders', 'val_dataloaders', 'dataloaders', 'datamodule'
)  # fmt: skip
"""Parameters of the trainer's methods that the command line fills itself."""


class UsageError(LipfaultError):
    """A command line with a word that is no command, subcommand or option; exit status 2."""


def check_command(name: str) -> Command:
    """Return the command of a name.

    Args:
        name: First word of the command line.

    Returns:
        The entry of the command table.

    Raises:
        UsageError: If there is no such command; names the nearest.
    """
    if name not in COMMANDS:
        raise UsageError(f'no command {name!r}{_hint(name, COMMANDS)} (lipfault --help)')
    return COMMANDS[name]


def check_function(name: str, command: Command, args: list[str]) -> None:
    """Check subcommand and options of a command that is a function or a dictionary of functions.

    Args:
        name: Name of the command.
        command: Its entry.
        args: The words after it.

    Raises:
        UsageError: If a word is wrong; names the nearest right one.
    """
    function = command.attribute
    functions = dictionary_names(command.module, command.attribute)
    if functions is not None:
        if not args or args[0].startswith('-'):
            return
        if args[0] not in functions:
            hint = _hint(args[0], functions)
            known = ', '.join(functions)
            raise UsageError(f'{name} has no subcommand {args[0]!r}{hint} There are {known}')
        name, function, args = f'{name} {args[0]}', functions[args[0]], args[1:]
    options = function_options(command.module, function)
    if options is None or asks_for_help(args):
        return
    _check_options(name, options | dict.fromkeys(_PARSER_OPTIONS), args)


def check_stage(name: str, args: list[str]) -> None:
    """Check options and configuration files of a command that runs a stage.

    Args:
        name: Name of the command as the user gave it.
        args: The subcommand of Lightning and the words after it, `--config` with paths of files.

    Raises:
        UsageError: If a name is wrong; names the nearest right one.
        LipfaultError: If a recording is missing.
    """
    subcommand, *words = args
    # The parser writes the help text and ends, whatever else is given.
    if asks_for_help(words):
        return
    given = _Given.collect(words)
    options = _stage_options(subcommand, given)
    _check_options(name, options, words)
    for file, settings in given.configs.items():
        for key in flattened(settings):
            wrong = unknown_name(options, key)
            if wrong is not None:
                raise UsageError(f'{file}: no setting {wrong}{_meant(options, wrong, "")}')
    if any(word.startswith('--print_config') for word in words):
        return
    if given.whole and not given.models:
        fit, other = '--config pretrain', '--ckpt_path and the folder of a run'
        raise UsageError(f'{name}: there is no model; give {fit if subcommand == "fit" else other}')
    _check_recordings(given.recordings)


def asks_for_help(args: Iterable[str]) -> bool:
    """Return whether a command line asks for a help text, which the parser writes.

    Args:
        args: Words of a command line.
    """
    return any(word in ('-h', '--help') for word in args)


def option_values(args: list[str], *names: str) -> list[str]:
    """Return the values given for an option.

    Args:
        args: Words of a command line.
        names: The option with its dashes, and its short forms.

    Returns:
        Values of `--option value` and `--option=value`, in their order.
    """
    return [value for name, value in _options(args) if name in names and value is not None]


@dataclass
class _Given:
    """Settings that decide which options there are, collected from files and words.

    Args:
        configs: Content of the configuration files by path.
        models: Class paths of the model; several if a later one replaces an earlier one.
        recordings: Values of `data.path`, the last one given; empty if it cannot be read here.
        whole: Whether all configurations were read, so that no setting is given elsewhere.
    """

    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)
    whole: bool = True

    @classmethod
    def collect(cls, args: list[str]) -> '_Given':
        found = cls()
        for name, value in _options(args):
            if name in ('--config', '-c') and value is not None:
                found._add_file(value)
            elif name in ('--model', '--model.class_path') and value is not None:
                found.models.append(value)
            # `--data.path+` extends what came before, `--data` names a file: neither is read here.
            elif name.startswith('--data.path') or name == '--data':
                found.recordings = _paths(value) if name == '--data.path' else []
        return found

    def _add_file(self, file: str) -> None:
        try:
            text = Path(file).read_text(encoding='utf-8')
            require_small(text, file)
            settings = yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            settings = None  # a URL, inline settings, or a file whose fault the parser words
        if not isinstance(settings, dict):
            self.whole = False
            return
        self.configs[file] = settings
        flat = flattened(settings)
        model = flat.get('model', flat.get('model.class_path'))
        if isinstance(model, str):
            self.models.append(model)
        if 'data.path' in flat:
            self.recordings = _paths(flat['data.path'])


def _stage_options(subcommand: str, given: _Given) -> Options:
    """Return the options of a subcommand of Lightning."""
    method = function_options(_TRAINER, subcommand, method_of='Trainer') or {}
    names = [*_PARSER_OPTIONS, 'seed_everything', *RUN_OPTIONS, *method]
    options: Options = {name: None for name in names if name not in _NOT_OPTIONS}
    options['trainer'] = class_options(f'{_TRAINER}.Trainer')
    options['data'] = class_options(_DATA)
    # Without a class only the two of this package can be meant.
    options['model'] = _model_options(given.models or _TASKS) if given.whole else None
    return options


def _model_options(paths: Iterable[str]) -> Options | None:
    """Return the options of the classes that the model may be; None if one is not found."""
    options: Options = {}
    for path in paths:
        found = class_options(path)
        if found is None:
            _check_class(path)
            return None
        # Where two classes disagree on what may follow a name, anything may.
        options |= {name: below for name, below in found.items() if name not in options}
        options |= {name: None for name in options if options[name] != found.get(name)}
    return options


def _check_class(path: str) -> None:
    """Refuse a class path within this package that leads nowhere."""
    module, _, name = path.rpartition('.')
    # A module of the user's may be made at run time, or lie on a path added later.
    if not module.startswith('lipfault.'):
        return
    names = class_names(module)
    if names is None:
        raise UsageError(f'model: there is no module {module}')
    if name not in names:
        raise UsageError(f'model: {module} has no class {name!r}{_hint(name, names)}')


def _check_options(name: str, options: Options, args: list[str]) -> None:
    if args and not args[0].startswith('-'):
        raise UsageError(
            f'{name}: unexpected {args[0]!r}; every value follows its option, as in --option value'
        )
    for option, _ in _options(args):
        key = option.removeprefix('--')
        wrong = unknown_name(options, key, abbreviated=True)
        if option.startswith('--') and wrong is not None:
            raise UsageError(f'{name}: no option --{wrong}{_meant(options, wrong, "--")}')


def _check_recordings(paths: list[str]) -> None:
    """Refuse a recording that is not there, with the key that names it."""
    for path in paths:
        if not Path(path).exists():
            raise LipfaultError(
                f'data.path: there is no recording {path} in {Path.cwd()}; give the path of one '
                'with --data.path'
            )


def _options(args: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each option and its value, None where the next word is an option itself."""
    for word, following in itertools.zip_longest(args, args[1:]):
        if word == '--':  # ends the options
            return
        if word.startswith('-'):
            name, equals, value = word.partition('=')
            if equals:
                yield name, value
            else:
                yield name, None if following is None or following.startswith('--') else following


def _paths(value: Any) -> list[str]:  # noqa: ANN401
    """Return a value of `data.path` as a list, empty if it is no path and no list of paths."""
    if isinstance(value, str) and value.startswith('['):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            return []
    value = [value] if isinstance(value, str) else value
    paths = value if isinstance(value, list) else []
    return paths if all(isinstance(path, str) for path in paths) else []


def _meant(options: Options, wrong: str, dashes: str) -> str:
    near = nearest_name(options, wrong)
    return '' if near is None else f'; did you mean {dashes}{near}?'


def _hint(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(names), n=1)
    return f'; did you mean {near[0]!r}?' if near else '.'
