"""The example and the tables of docs/format.md hold."""

import re
from pathlib import Path

import h5py

from lipfault.data.layout import FORMAT, FORMAT_VERSION
from lipfault.data.recording import Recording

PAGE = (Path(__file__).parents[2] / 'docs/format.md').read_text()


def test_the_example_on_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r'```python\n(.*?)```', PAGE, flags=re.DOTALL)
    exec(compile(example, 'docs/format.md', 'exec'), {})
    recording = Recording('monday.h5')
    assert [info.episode_id for info in recording.episodes] == ['monday-0', 'monday-1', 'monday-2']
    assert recording.episodes[0].parameters == {'load_kg': 1.5}


def test_the_page_names_the_version_and_every_attribute(tiny_recording):
    assert f'`{FORMAT}`' in PAGE
    assert f'`{FORMAT_VERSION}`; a reader' in PAGE
    with h5py.File(tiny_recording) as file:
        written = {*file['modalities/camera'].attrs, 'format', 'format_version'}
    described = set(re.findall(r'^\| `(\w+)`(?:, `(\w+)`)? ', PAGE, flags=re.MULTILINE))
    assert written <= {name for pair in described for name in pair}
