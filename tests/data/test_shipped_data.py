"""The files in data/ are valid, small, and as their README describes them."""

import re
from pathlib import Path

import pytest

from lipfault.data.checking import problems
from lipfault.data.recording import Recording

FOLDER = Path(__file__).parents[2] / 'data'
ROW = r'^\| `(\S+\.h5)` \| `(\w+)` \| (\d+) \| ([\d.]+) s \| (\d+) x (\d+) \|$'
ROWS = re.findall(ROW, (FOLDER / 'README.md').read_text(), flags=re.MULTILINE)


def test_the_table_names_every_file():
    assert sorted(row[0] for row in ROWS) == sorted(path.name for path in FOLDER.glob('*.h5'))


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob('*.h5')) < 40e6


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[0])
def test_each_file_is_good_and_as_described(row):
    name, cell, episodes, seconds, height, width = row
    recording = Recording(FOLDER / name)
    assert list(problems(recording)) == []
    assert recording.attributes['cell'] == cell
    assert len(recording.episodes) == int(episodes)
    assert {info.duration_s for info in recording.episodes} == {float(seconds)}
    sizes = {modality.size for modality in recording.modalities.values()} - {None}
    assert sizes == {(int(height), int(width))}
