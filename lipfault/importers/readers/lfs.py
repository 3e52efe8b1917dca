"""Pointers of Git LFS, which lie in the place of files that were not fetched."""

from pathlib import Path

from lipfault.errors import LipfaultError

_START = b'version https://git-lfs'


def require_no_pointer(path: Path) -> None:
    """Refuse a pointer in the place of a file.

    Args:
        path: An existing file.

    Raises:
        LipfaultError: If the file is a pointer.

    Reference:
        https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    with path.open('rb') as stream:
        if stream.read(len(_START)) == _START:
            raise LipfaultError(f'{path}: a pointer of Git LFS, not the data: git lfs pull')
