"""Complete the arguments of a command that runs a stage."""

import itertools
import json
from collections.abc import Mapping

from lipfault.cli.shipped import config_file
from lipfault.cli.usage import option_values
from lipfault.runs.folder import RunFolder, find_checkpoint

EVALUATIONS = ('validate', 'test', 'predict')
_CERTIFIER = 'lipfault.callbacks.certificate.CertificateWriter'
_CONFIG = ('--config', '-c')


def completed(args: list[str]) -> list[str]:
    """Return the arguments for Lightning's command line.

    `certify` becomes `test` with one more callback, names of shipped configurations become paths,
    and an evaluation without `--config` gets the configuration of the run that it evaluates.

    Args:
        args: The command and the words after it.

    Returns:
        A subcommand of Lightning and its options.

    Raises:
        LipfaultError: If a configuration or a checkpoint does not exist.
    """
    if args[0] == 'certify':
        args = ['test', *args[1:], f'--trainer.callbacks+={_CERTIFIER}']
    return _with_config_of_run(with_config_files(args))


def with_config_files(args: list[str]) -> list[str]:
    """Replace the names of shipped configurations by their paths.

    Args:
        args: Words of a command line.

    Returns:
        The same words with a path after each `--config`.

    Raises:
        LipfaultError: If a value of `--config` is neither a file nor a name.
    """
    found, follows = [], False
    for word in args:
        name, equals, value = word.partition('=')
        if follows:
            word = config_file(word)
        elif name in _CONFIG and equals:
            word = f'{name}={config_file(value)}'
        follows = word in _CONFIG
        found.append(word)
    return found


def with_names(args: list[str], unnamed: Mapping[str, str]) -> list[str]:
    """Name the values that stand between a subcommand and its first option.

    Args:
        args: Subcommand and the words after it.
        unnamed: Option that such words are values of, by subcommand; under the empty name of a
            command without subcommands.

    Returns:
        The same words, these in one option with a list.

    Example:
        >>> with_names(['import', 'a', 'b', '--out=c'], {'import': 'source'})
        ['import', '--source=["a", "b"]', '--out=c']
    """
    # A command without subcommands has its option under the empty name.
    head = args[: 0 if '' in unnamed else 1]
    option = unnamed.get(head[0] if head else '')
    words = list(itertools.takewhile(lambda word: not word.startswith('-'), args[len(head) :]))
    if option is None or not words:
        return args
    return [*head, f'--{option}={json.dumps(words)}', *args[len(head) + len(words) :]]


def _with_config_of_run(args: list[str]) -> list[str]:
    """Add the configuration of the run to an evaluation without `--config`."""
    if args[0] not in EVALUATIONS or any(word.split('=')[0] in _CONFIG for word in args):
        return args
    weights, folders = (option_values(args, name) for name in ('--ckpt_path', '--run'))
    # Before PyTorch is imported; `best` and `last` are of the folder in --run.
    for wanted in set(weights) - {'best', 'last'}:
        find_checkpoint(wanted)
    for path in weights + folders:
        config = RunFolder.of(path).config
        if config.is_file():
            # `report: false` of the fit is not meant for its evaluation.
            return [args[0], '--config', str(config), '--report=true', *args[1:]]
    return args
