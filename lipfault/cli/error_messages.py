"""What a user can mend in what went wrong, worded in one line."""

import errno
import re

from lipfault.errors import LipfaultError

_REFUSALS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOTDIR,
}  # fmt: skip
_GONE = re.compile(
    r'gloo|NCCL|ncclCommAbort|Connection (closed|reset|refused)|TCPStore|timed out|timeout',
    re.IGNORECASE,
)


def user_error(error: BaseException | None) -> LipfaultError | None:
    """What the user can mend, also where another error has wrapped it; None if there is nothing."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for found in chain:
        if isinstance(found, LipfaultError):
            return found
    for found in chain:
        mistake = _refused(found) or _between_processes(found)
        if mistake is not None:
            return mistake
    return None


def _refused(error: BaseException) -> LipfaultError | None:
    """The system did not let us write."""
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    where = f'cannot write {error.filename}' if error.filename else 'cannot write'
    return LipfaultError(f'{where}: {error.strerror}')


def _between_processes(error: BaseException) -> LipfaultError | None:
    """Processes that cannot meet, or of which one has gone."""
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
    brief = re.sub(r'^\[[^]]*\] ', '', reason).split('. ')[0][:160]
    return LipfaultError(
        f'another process of this run has ended or does not answer ({brief}); see what it printed, '
        'then go on with --ckpt_path last'
    )
