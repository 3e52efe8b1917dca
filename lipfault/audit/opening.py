"""Open a data set: a recording, or any source that can be imported."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from lipfault.audit.tracks import read_tracks
from lipfault.audit.types import Tracks
from lipfault.data.layout import FORMAT
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError


def load_tracks(paths: Sequence[str | Path]) -> Tracks:
    """Read the tracks of a data set.

    Args:
        paths: One recording, or sources that the import reads; several sources are merged.

    Returns:
        The tracks.

    Raises:
        LipfaultError: If nothing is there, or it is neither a recording nor a source.
    """
    with recording_of(paths) as recording:
        return read_tracks(recording)


@contextmanager
def recording_of(paths: Sequence[str | Path]) -> Iterator[Recording]:
    """Provide a recording; a source is imported into a temporary one.

    Args:
        paths: As of `load_tracks`.

    Yields:
        The recording.

    Raises:
        LipfaultError: If nothing is there, or it is neither a recording nor a source.
    """
    for path in paths:
        if not Path(path).exists():
            raise LipfaultError(f'{path} does not exist; give a recording or a data set')
    if len(paths) == 1 and is_recording(Path(paths[0])):
        recording = Recording(paths[0])
        try:
            yield recording
        finally:
            recording.close()
        return
    with tempfile.TemporaryDirectory(prefix='lipfault-audit-') as folder:
        recording = Recording(_imported(paths, Path(folder) / 'imported.h5'))
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
            return bool(file.attrs.get('format') == FORMAT)
    except OSError:
        return False


def _imported(paths: Sequence[str | Path], target: Path) -> Path:
    """Import sources into a recording; broken episodes are an error, as they are for the import."""
    # Not at the top: a recording needs no reader of other formats.
    from lipfault.importers.dataset import opened, prepare, write

    with opened(paths) as source:
        write(prepare(source), target, compression='none')
    return target
