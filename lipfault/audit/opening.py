"""Open a data set: a recording, or any source that can be imported."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from lipfault.audit.tracks import read_tracks
from lipfault.audit.types import Tracks
from lipfault.data.layout import FORMAT
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError

Import = Callable[[Sequence[str | Path], Path], None]
"""Imports sources of other formats into a new recording."""


def load_tracks(paths: Sequence[str | Path], imported: Import | None = None) -> Tracks:
    """Read the tracks of a data set.

    Args:
        paths: One recording, or sources that `imported` reads; several sources are merged.
        imported: Import of sources of other formats; without it only a recording is read.

    Returns:
        The tracks.

    Raises:
        LipfaultError: If nothing is there, or it is neither a recording nor a source.
    """
    with recording_of(paths, imported) as recording:
        return read_tracks(recording)


@contextmanager
def recording_of(
    paths: Sequence[str | Path], imported: Import | None = None
) -> Iterator[Recording]:
    """Provide a recording; a source is imported into a temporary one.

    Args:
        paths: As of `load_tracks`.
        imported: As of `load_tracks`.

    Yields:
        The recording.

    Raises:
        LipfaultError: If nothing is there, or it is neither a recording nor a source.
    """
    for path in paths:
        if not Path(path).exists():
            raise LipfaultError(f'{path} does not exist; give a recording or a data set')
    if imported is None or (len(paths) == 1 and is_recording(Path(paths[0]))):
        recording = Recording(paths[0])
        try:
            yield recording
        finally:
            recording.close()
        return
    with tempfile.TemporaryDirectory(prefix='lipfault-audit-') as folder:
        target = Path(folder) / 'imported.h5'
        imported(paths, target)
        recording = Recording(target)
        try:
            yield recording
        finally:
            recording.close()


def is_recording(path: Path) -> bool:
    """Return whether a file is a recording of this package.

    Args:
        path: The file.
    """
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, 'r') as file:
            return file.attrs.get('format') in (FORMAT, FORMAT.encode())
    except OSError:
        return False
