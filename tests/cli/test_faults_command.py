"""`lipfault faults` lists every kind and draws the gallery."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from lipfault.cli.faults import COMMANDS
from lipfault.cli.main import main
from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES
from lipfault.faults.fault import FAMILIES
from lipfault.faults.patterns import PATTERNS


def test_list_names_every_kind(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    main(['faults', 'list'])
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*NAMES, *PATTERNS))


def test_list_of_one_family(capsys):
    COMMANDS['list'](family='image')
    shown = capsys.readouterr().out
    assert 'fog' in shown
    assert 'bias' not in shown


def test_unknown_family_is_named(capsys):
    with pytest.raises(SystemExit):
        main(['faults', 'list', '--family', 'taste'])
    assert "'series','image','cross'" in capsys.readouterr().err.replace(' ', '')


@pytest.mark.parametrize('family', FAMILIES)
def test_pages_of_the_documentation_hold_the_catalogue(family, capsys):
    main(['faults', 'table', '--family', family])
    tables = capsys.readouterr().out
    assert tables.count('\n| `') >= 2
    page = (Path(__file__).parents[2] / f'docs/faults/{family}.md').read_text()
    for table in tables.strip().split('\n\n'):
        assert table in page, f'put the output of "lipfault faults table --family {family}" there'


def test_gallery_draws_each_modality(tiny_recording, tmp_path):
    out = str(tmp_path / 'all.png')
    spans = ['--window_s', '0.8', '--history_s', '0.4']
    main(['faults', 'gallery', '--data', str(tiny_recording), '--out', out, *spans])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'all-camera.png',
        'all-force.png',
        'all-joints.png',
    ]
    for path in tmp_path.iterdir():
        picture = imread(path)
        assert min(picture.shape[:2]) > 500
        assert np.ptp(picture[..., :3]) > 0.9


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'episode': 99}, 'episode must be from 0 to 5'), ({'end_s': 50.0}, 'end_s must be from')],
)
def test_gallery_needs_a_window_of_the_recording(options, message, tiny_recording, tmp_path):
    with pytest.raises(LipfaultError, match=message):
        COMMANDS['gallery'](data=str(tiny_recording), out=str(tmp_path / 'x.png'), **options)


def test_gallery_needs_a_folder_to_draw_in(tiny_recording, tmp_path):
    with pytest.raises(LipfaultError, match=f'there is no folder {tmp_path}/nowhere'):
        COMMANDS['gallery'](data=str(tiny_recording), out=str(tmp_path / 'nowhere' / 'x.png'))
