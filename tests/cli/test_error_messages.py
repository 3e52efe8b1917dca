import errno
import os

import pytest
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import distributed

from lipfault.cli.error_messages import user_error
from lipfault.errors import LipfaultError


def wrapped(error: Exception) -> Exception:
    """The error as the argument parser hands it on."""
    try:
        try:
            raise error
        except Exception as inner:
            raise ValueError('parser error') from inner
    except ValueError as outer:
        return outer


GLOO = '[/src/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:18865. This is'
PORT = (
    'The server socket has failed to listen on any local network address. port: 50605, '
    'useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use'
)


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        (LipfaultError('data.path: no file'), ['data.path: no file']),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ['cannot write', 'No space left']),
        (OSError(errno.EROFS, 'Read-only file system', 'runs/a'), ['cannot write runs/a: Read']),
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), 'a/b'), ['cannot write a/b: Too many']),
        (OSError(errno.ENAMETOOLONG, 'File name too long', 'aa'), ['cannot write aa: File name']),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), 'x.h5'), ['ulimit -n', 'num_workers']),
        (ValueError('-1 is not in bounds, numpy accepts from 0 to 7'), ['seed_everything: -1 is']),
        (MisconfigurationException('two\n  lines'), ['trainer: two lines']),
        (RuntimeError(GLOO), ['another process', '(Connection closed by peer [127.0.0.1]:18865)']),
        (distributed.DistNetworkError(PORT), ['port 50605', 'in use', 'MASTER_PORT']),
        (
            distributed.DistStoreError('Timed out after 11 seconds waiting for clients.'),
            ['another process of this run', 'Timed out after 11 seconds'],
        ),
    ],
    ids=[
        'ours',
        'full disk',
        'read-only',
        'loop',
        'long name',
        'descriptors',
        'seed',
        'trainer',
        'process gone',
        'port in use',
        'process missing',
    ],
)
@pytest.mark.parametrize('wrap', [lambda error: error, wrapped], ids=['bare', 'wrapped'])
def test_what_a_user_can_mend_is_named(error, words, wrap):
    mistake = user_error(wrap(error))
    assert mistake is not None
    assert '\n' not in str(mistake)
    for word in words:
        assert word in str(mistake)


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('mat1 and mat2 shapes cannot be multiplied'),
        FileNotFoundError(errno.ENOENT, 'No such file', 'a'),
        ValueError('NCCL'),
    ],
)
def test_a_defect_keeps_its_traceback(error):
    assert user_error(error) is None
