"""Word an error that the user can correct in one line."""

import argparse
import errno
import re

from lipfault.cli.usage import UsageError
from lipfault.errors import LipfaultError

_REFUSALS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOTDIR,
    errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""Error numbers of a file that cannot be written for a reason outside lipfault."""

_GONE = re.compile(
    r'gloo|NCCL|ncclCommAbort|Connection (closed|reset|refused)|TCPStore|timed out|timeout',
    re.IGNORECASE,
)
"""Words in the message of an error that another process of the run has caused."""

_PARSER_KEY = re.compile(r'(?:- )?Parser key "([^"]+)":')
_PARSER_FRAME = re.compile(
    r'(- )?(Does not validate against any|Subtypes:|Errors:|Problem with given class_path'
    r'|Expected a path|Given value|\d+ validation errors? for|$)'
)
"""Lines of the parser's messages that hold no reason: all of a union type but its first member."""


def user_error(error: BaseException | None) -> LipfaultError | None:
    """Return what the user can correct, also where another error has wrapped it.

    Args:
        error: An error that a command has ended with.

    Returns:
        The error with a message of one line; None if it is a defect, to be shown with its
        traceback.
    """
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for found in chain:
        if isinstance(found, LipfaultError):
            return found
    for found in chain:
        correctable = (
            _refused(found) or _between_processes(found) or _of_parser(found) or _of_trainer(found)
        )
        if correctable is not None:
            return correctable
    return None


def _refused(error: BaseException) -> LipfaultError | None:
    """Word a file that the system does not let us write."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return LipfaultError(
            'too many open files: raise the limit (ulimit -n), or lower data.num_workers'
        )
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    where = f'cannot write {error.filename}' if error.filename else 'cannot write'
    return LipfaultError(f'{where}: {error.strerror}')


def _between_processes(error: BaseException) -> LipfaultError | None:
    """Word processes that cannot meet, or of which one has gone."""
    if not isinstance(error, RuntimeError):
        return None
    reason = str(error).splitlines()[0] if str(error) else ''
    if 'EADDRINUSE' in reason:
        port = re.search(r'port: (\d+)', reason)
        named = f'port {port[1]}' if port else 'the port'
        return LipfaultError(
            f'{named} for the processes to meet at is in use: set MASTER_PORT to a free one, alike '
            'for all processes'
        )
    module = type(error).__module__.split('.')[0]
    if module not in ('builtins', 'torch') or not _GONE.search(reason):
        return None
    # Gloo puts its source file in brackets before the reason, and advice behind it.
    brief = re.sub(r'^\[[^]]*\] ', '', reason).split('. ')[0][:160]
    return LipfaultError(
        f'another process of this run has ended or does not answer ({brief}); see what it printed, '
        'then go on with --ckpt_path last'
    )


def _of_trainer(error: BaseException) -> LipfaultError | None:
    """Word settings of the trainer that contradict each other, and a seed that NumPy refuses."""
    if isinstance(error, ValueError) and 'is not in bounds, numpy accepts' in str(error):
        return LipfaultError(f'seed_everything: {error}')
    # By name: importing Lightning for a wrong word would take seconds.
    if type(error).__name__ != 'MisconfigurationException' or not str(error):
        return None
    return LipfaultError(f'trainer: {" ".join(str(error).split())[:300]}')


def _of_parser(error: BaseException) -> UsageError | None:
    """Word a value that the parser refuses: the key and the first reason.

    The parser's own message has a paragraph for each type that the key accepts, nested as deep as
    the settings are.
    """
    if not isinstance(error, argparse.ArgumentError):
        return None
    text, keys = str(error), list[str]()
    for line in map(str.strip, text.splitlines()):
        key = _PARSER_KEY.fullmatch(line)
        if key is not None:
            keys.append(key[1])
        elif not _PARSER_FRAME.match(line):
            reason = _plain(line.removeprefix('- '))
            break
    else:
        return UsageError(' '.join(text.split())[:300])
    value = re.search(r"Given value: (?:NestedArg\(.*val='(.*)'\)|(.*))$", text)
    # In the message of a union type the parser cuts the value out of the reason of a member.
    reason = reason.removesuffix(', got')
    if value is not None and reason.startswith(('expected', 'must be')) and ', got ' not in reason:
        reason += f', got {value[1] or value[2]}'
    return UsageError(f'{".".join(keys)}: {reason}' if keys else reason)


def _plain(reason: str) -> str:
    """Write types as Python does, and start with a small letter behind the key."""
    # The words of `lipfault.domains`, framed by pydantic.
    bounded = re.match(r'Value error, (.*) \[type=value_error, ', reason)
    if bounded is not None:
        return bounded[1]
    plain = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r'\1', reason)
    plain = re.sub(r'^Expected an? ', 'expected ', plain)
    return plain.replace('typing.', '').replace('. Got value: ', ', got ')
