import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lipfault.audit.opening import load_tracks
from lipfault.audit.tracks import read_tracks
from lipfault.cli.audit import FOUND
from lipfault.cli.main import main
from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

STEPS, CHANNELS = 150, 3


def modality(name: str) -> Modality:
    names = ('<a>', '[b]', 'c')  # as HTML and as rich would read them
    low, high = (-9.0,) * CHANNELS, (9.0,) * CHANNELS
    noise, quantum = (1e-2,) * CHANNELS, (1e-3,) * CHANNELS
    return Modality(name, 'series', 30.0, names, ('1',) * 3, low, high, noise, quantum=quantum)


def eye() -> Modality:
    low, high = (0.0,) * 3, (1.0,) * 3
    return Modality(
        'eye', 'image', 30.0, ('r', 'g', 'b'), ('1',) * 3, low, high, (0.01,) * 3, size=(8, 8)
    )


def episodes(stuck: bool) -> Iterator[Episode]:
    rng = np.random.default_rng(0)
    for number in range(10):
        walk = np.cumsum(rng.normal(0, 0.05, (STEPS + 3, CHANNELS)), axis=0)
        goal = np.round(walk[3:], 3).astype(np.float32)
        arm = np.round(walk[:-3] + rng.normal(0, 2e-3, (STEPS, CHANNELS)), 3).astype(np.float32)
        if stuck and number == 4:
            arm[40:110, 1] = arm[40, 1]
        frames = rng.integers(0, 255, (STEPS, 8, 8, 3), dtype=np.uint8)
        yield Episode(f'e{number}', {'goal': goal, 'arm': arm, 'eye': frames})


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('audit')
    modalities = [modality('goal'), modality('arm'), eye()]
    for name in ('good', 'broken'):
        write_recording(folder / f'{name}.h5', modalities, episodes(name == 'broken'))
    return folder


def run(*words: str) -> int:
    try:
        main(['audit', *map(str, words)])
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_broken_recording_ends_with_findings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, report = folder / 'page.html', folder / 'findings.json'
    words = ('--out', page, '--json_out', report)
    assert run(folder / 'broken.h5', *words) == FOUND
    first = json.loads(report.read_text())['findings'][0]
    assert (first['episode'], first['modality'], first['channel']) == ('e4', 'arm', '[b]')
    assert first['kind'] == 'stuck'
    assert first['start_s'] == pytest.approx(40 / 30, abs=0.1)
    assert first['p'] <= first['q'] <= 0.05
    printed = capsys.readouterr().out
    assert 'arm.[b]' in re.sub(r'\s', '', printed)
    text = page.read_text()
    assert 'arm.[b]' in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert text.count('<img') == len(json.loads(report.read_text())['findings'])
    # Nothing is written over.
    assert run(folder / 'broken.h5', '--out', page) == 1
    assert page.read_text() == text


def test_a_narrow_table_names_the_sensor_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('COLUMNS', '60')
    write_recording(tmp_path / 'x.h5', [modality('goal'), modality('arm'), eye()], episodes(True))
    assert run(tmp_path / 'x.h5') == FOUND
    assert '…' not in capsys.readouterr().out


def test_options_of_the_import_are_said_to_be_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'x.csv').write_text('a,b\n1,2\n3,4\n')
    assert run(tmp_path / 'x.csv') == 1
    error = capsys.readouterr().err
    assert '--options' in error
    assert 'options of `lipfault data import`: import first' in error


def test_a_good_recording_ends_with_status_0(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run('--dataset', folder / 'good.h5') == 0
    assert 'nothing found in 10 episodes' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['missing.h5'], 'does not exist'),
        (['empty'], 'empty'),
        (['text.h5'], 'text.h5'),
        (['good.h5', '--rate=1.5'], 'rate: must be above 0 and below 1, got 1.5'),
        (['good.h5', '--rows=0'], 'rows: must be a whole number from 1'),
    ],
)
def test_errors_name_what_is_wrong(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / 'empty').mkdir(exist_ok=True)
    (folder / 'text.h5').write_text('no recording')
    # As elsewhere: 2 for an option that the parser refuses.
    assert run(folder / words[0], *words[1:]) == (2 if words[1:] else 1)
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error


def test_a_source_without_episodes_is_an_error() -> None:
    empty = SimpleNamespace(modalities={}, episodes=[])
    with pytest.raises(LipfaultError, match='nothing to audit'):
        read_tracks(empty)  # type: ignore[arg-type]


def test_tracks_hold_what_the_recording_holds(folder: Path) -> None:
    tracks = load_tracks([folder / 'good.h5'])
    for track, episode in zip(tracks.tracks, episodes(False), strict=True):
        frames = episode.signals['eye'].astype(np.float64)
        np.testing.assert_allclose(track['arm'].values, episode.signals['arm'], atol=1e-6)
        grey = frames.mean(axis=-1)
        change = np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2))
        np.testing.assert_allclose(track['eye'].change[1:], change, rtol=1e-5)
        assert np.isnan(track['eye'].change[0])
        # 8 x 8 pixels are 8 x 8 blocks.
        np.testing.assert_allclose(track['eye'].values, grey.reshape(len(grey), -1), rtol=1e-5)
