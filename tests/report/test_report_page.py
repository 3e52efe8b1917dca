"""The page: complete, self-contained, and honest about what is missing."""

import base64
import json
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from synthetic_run import write_run

from lipfault.cli.report import report
from lipfault.errors import LipfaultError
from lipfault.report.html import write_report

PNG = b'\x89PNG\r\n\x1a\n'
STAGE_2 = [
    'detection', 'reliability', 'recall', 'damage', 'localization', 'correction', 'recovery',
    'norms',
]  # fmt: skip


@dataclass
class Page(HTMLParser):
    """What a browser would see of a page."""

    text: str
    ids: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    images: list[dict[str, str | None]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [str(given['id'])] if 'id' in given else []
        if tag == 'a':
            self.anchors.append(str(given['href']))
        if tag == 'img':
            self.images.append(given)
        self.links += [str(given[key]) for key in ('src', 'href') if key in given]


def read(path: Path) -> Page:
    """The page that a path holds."""
    return Page(path.read_text(encoding='utf-8'))


def slim(source: Path, target: Path, *files: str) -> Path:
    """A run folder with some of another's files."""
    target.mkdir(exist_ok=True)
    for name in files:
        shutil.copy(source / name, target)
    return target


@pytest.fixture(scope='module')
def page_2(stage_2: Path) -> Page:
    """The page of a complete stage-2 run."""
    return read(write_report(stage_2))


@pytest.fixture(scope='module')
def page_1(stage_1: Path) -> Page:
    """The page of a complete stage-1 run."""
    return read(write_report(stage_1))


def test_complete_run_has_every_figure(page_2: Page, stage_2: Path) -> None:
    slugs = ['samples-camera', 'samples-kinematics', *STAGE_2, 'losses', 'skill']
    assert page_2.ids == ['metrics', *slugs, 'settings']
    assert len(page_2.images) == len(slugs)
    files = {path.stem for path in (stage_2 / 'figures').iterdir()}
    assert files == {*slugs, 'overview'}


@pytest.mark.parametrize('name', ['page_1', 'page_2'])
def test_page_needs_no_other_file(name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    assert all(link.startswith(('#', 'data:image/png;base64,')) for link in page.links)
    assert '@import' not in page.text
    assert 'url(' not in page.text
    for image in page.images:
        content = base64.b64decode(str(image['src']).partition(',')[2])
        assert content.startswith(PNG)
        assert image['alt']


@pytest.mark.parametrize('name', ['page_1', 'page_2'])
def test_links_of_the_page_lead_somewhere(name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(name)
    assert {anchor.removeprefix('#') for anchor in page.anchors} == set(page.ids)


def test_stage_1_shows_no_detection(page_1: Page) -> None:
    assert page_1.ids == [
        'metrics', 'samples-camera', 'samples-kinematics', 'losses', 'skill', 'settings',
    ]  # fmt: skip
    assert 'Nothing to show' not in page_1.text


def test_configuration_is_escaped(page_2: Page) -> None:
    assert 'latent: &lt;64&gt;' in page_2.text
    assert 'latent: <64>' not in page_2.text


def test_settings_of_matplotlib_are_restored(stage_1: Path, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    write_report(slim(stage_1, tmp_path, 'metrics.json'))
    assert dict(matplotlib.rcParams) == before


def test_trained_but_untested_run_says_so(stage_2: Path, tmp_path: Path) -> None:
    page = read(write_report(slim(stage_2, tmp_path, 'metrics.csv')))
    assert 'The run has no metrics.json' in page.text
    assert 'has no environment.json' in page.text
    assert [image['alt'] for image in page.images] != []


def test_certificate_is_shown_with_its_statements(stage_2: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stage_2, tmp_path / 'run')
    statement = 'A fault of camera changes the corrected arm ...'
    entry = {'measured': 0.5, 'adversarial': 0.7, 'certified': 2.0}
    certificate = {'matrix': {'camera': {'arm': entry}}, 'statements': [statement]}
    (run / 'certificate.json').write_text(json.dumps(certificate))
    page = read(write_report(run))
    assert 'certificate' in page.ids
    assert statement in page.text
    del certificate['statements']
    (run / 'certificate.json').write_text(json.dumps(certificate))
    assert 'run lipfault certify again' in read(write_report(run)).text


def test_tested_run_without_results_names_them(stage_2: Path, tmp_path: Path) -> None:
    page = read(write_report(slim(stage_2, tmp_path, 'metrics.json')))
    assert page.text.count('The run has no results.npz') == 7
    assert 'No training or validation curve' in page.text
    assert not (tmp_path / 'figures' / 'overview.png').exists()


@pytest.mark.parametrize('key', ['kinds', 'examples/camera/clean'])
def test_missing_array_is_named(stage_2: Path, tmp_path: Path, key: str) -> None:
    slim(stage_2, tmp_path, 'metrics.json')
    with np.load(stage_2 / 'results.npz') as content:
        kept = {name: content[name] for name in content.files if name != key}
    kept = {name: value for name, value in kept.items() if not name.startswith('unseen/')}
    np.savez(tmp_path / 'results.npz', **kept)
    assert f'results.npz has no &#39;{key}&#39;' in read(write_report(tmp_path)).text


@pytest.mark.parametrize('stage', [1, 2])
def test_examples_of_an_older_version_are_named(
    stage: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    slim(request.getfixturevalue(f'stage_{stage}'), tmp_path, 'metrics.json')
    older = {
        'corrected': 'cleaned', 'reconstruction_faulty': 'uncorrected',
        'reconstruction_corrected': 'corrected', 'reconstruction': 'corrected',
    }  # fmt: skip

    def old_key(key: str) -> str:
        head, _, version = key.rpartition('/')
        return f'{head}/{older.get(version, version)}' if key.startswith('examples/') else key

    with np.load(request.getfixturevalue(f'stage_{stage}') / 'results.npz') as content:
        arrays = {old_key(key): content[key] for key in content.files}
    np.savez(tmp_path / 'results.npz', **arrays)
    text = read(write_report(tmp_path)).text
    assert text.count('written by an older version of lipfault: run lipfault test again') == 2


def test_any_number_of_modalities_of_any_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    forms = {'gray': (2, 1, 20, 30), 'infrared': (1, 5, 8, 8), 'a': (1, 1, 9), 'b': (2, 2, 200)}
    write_run(tmp_path, {'camera': 'image'}, samples=1)
    with np.load(tmp_path / 'results.npz') as content:
        arrays = {k: content[k] for k in content.files if not k.startswith('examples/')}
    arrays['modalities'] = np.array(list(forms))
    for name, shape in forms.items():
        versions = (
            'clean', 'faulty', 'corrected', 'reconstruction_faulty', 'reconstruction_corrected',
            'true_map', 'fault_map',
        )  # fmt: skip
        arrays |= {f'examples/{name}/{version}': rng.random(shape) for version in versions}
        arrays[f'examples/{name}/kind'] = np.arange(shape[0])
        arrays[f'examples/{name}/severity'] = np.full(shape[0], 3)
    np.savez(tmp_path / 'results.npz', **arrays)
    page = read(write_report(tmp_path))
    assert 'Nothing to show' not in page.text
    assert [name for name in page.ids if name.startswith('samples-')] == [
        f'samples-{name}' for name in forms
    ]


def test_extreme_values_are_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, {'camera': 'image', 'arm': 'series'}, samples=1)
    with np.load(tmp_path / 'results.npz') as content:
        arrays = {k: content[k] for k in content.files if not k.startswith('unseen/')}
    count = len(arrays['seen/score'])
    arrays['seen/score'] = np.where(arrays['seen/faulty'], 1e9, -5.0)
    arrays |= {'seen/energy_left': np.zeros(count), 'seen/error_oracle': np.full(count, np.nan)}
    arrays['seen/error_corrected'] = np.full(count, 1e6)
    arrays['examples/arm/faulty'][0, :3] = np.nan
    np.savez(tmp_path / 'results.npz', **arrays)
    assert 'Nothing to show' not in read(write_report(tmp_path)).text


def test_failure_to_write_keeps_the_old_page(stage_1: Path, tmp_path: Path) -> None:
    slim(stage_1, tmp_path, 'metrics.json')
    (tmp_path / 'figures').write_text('in the way')
    (tmp_path / 'report.html').write_text('old')
    with pytest.raises(LipfaultError, match='figures'):
        write_report(tmp_path)
    assert (tmp_path / 'report.html').read_text() == 'old'


def test_same_run_gives_the_same_bytes(stage_1: Path, tmp_path: Path) -> None:
    slim(stage_1, tmp_path, 'metrics.json', 'metrics.csv')
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path).read_bytes() == first


def test_command_names_the_page(
    stage_1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(str(slim(stage_1, tmp_path, 'metrics.json')))
    assert capsys.readouterr().out == f'report: {tmp_path / "report.html"}\n'
