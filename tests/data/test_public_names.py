"""`import lipfault.data` offers the public names and imports neither torch nor Lightning."""

import subprocess
import sys

import lipfault.data

READING = """
import sys
from lipfault.data import Episode, Recording, RecordingSet, write_recording
print(sorted({'torch', 'lightning'} & set(sys.modules)))
"""


def test_reading_and_writing_import_no_torch():
    done = subprocess.run(
        [sys.executable, '-c', READING], capture_output=True, text=True, check=True
    )
    assert done.stdout == '[]\n'


def test_every_public_name_is_there():
    assert 'RecordingDataModule' in lipfault.data.__all__
    assert all(hasattr(lipfault.data, name) for name in lipfault.data.__all__)
