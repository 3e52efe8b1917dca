"""The report of somebody else's run writes in the run alone, and damaged files are named."""

import shutil
import zipfile

import numpy as np
import pytest
from synthetic_run import TWO, write_run

from lipfault.errors import LipfaultError
from lipfault.report.html import write_report
from lipfault.report.run import load_run
from lipfault.report.sections import sections
from lipfault.runs.names import file_name

HOSTILE = ('../../outside', '/outside', '..', 'a/b', '', 'x' * 400, 'a$b$\\frac{', 'C:\\x', 'a\nb')


def outside(folder):
    """Everything beside the run."""
    return sorted(path for path in folder.parent.rglob('*') if folder not in (path, *path.parents))


def only(monkeypatch, *slugs):
    """Leave out all figures but some: each takes a second."""
    monkeypatch.setattr(
        'lipfault.report.html.sections',
        lambda run: [section for section in sections(run) if section.slug.startswith(slugs)],
    )


@pytest.mark.parametrize('name', HOSTILE)
def test_names_of_files_are_safe_and_stay_different(name):
    safe = file_name(name)
    assert '/' not in safe
    assert '\\' not in safe
    assert not safe.startswith('.')
    assert len(safe) <= 80
    assert file_name(name + 'x') != safe


def test_usual_names_stay():
    assert [file_name(name) for name in ('camera', 'arm_left', 'a-b.c', 'größe')] == [
        'camera', 'arm_left', 'a-b.c', 'größe',
    ]  # fmt: skip


def test_the_report_of_a_hostile_modality_stays_in_the_run(tmp_path, monkeypatch):
    only(monkeypatch, 'samples-x')
    names = TWO | {'../../x$y$\\frac{': 'series'}
    run = write_run(tmp_path / 'a' / 'run', names, stage=1, samples=1)
    before = outside(run)
    page = write_report(run)
    assert outside(run) == before
    assert any('samples-x' in path.name for path in (run / 'figures').iterdir())
    assert '../../x' in page.read_text()


def test_a_linked_folder_of_figures_is_not_followed(tmp_path):
    run = write_run(tmp_path / 'run', stage=1, samples=1)
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside' / 'overview.png').write_text('mine')
    (run / 'figures').symlink_to(tmp_path / 'outside')
    with pytest.raises(LipfaultError, match='out of the run'):
        write_report(run)
    assert [path.name for path in (tmp_path / 'outside').iterdir()] == ['overview.png']
    assert (tmp_path / 'outside' / 'overview.png').read_text() == 'mine'


def test_a_linked_page_is_replaced_not_followed(tmp_path, monkeypatch):
    only(monkeypatch, 'losses')
    run = write_run(tmp_path / 'run', stage=1, samples=1)
    (tmp_path / 'victim').write_text('mine')
    (run / 'report.html').symlink_to(tmp_path / 'victim')
    write_report(run)
    assert (tmp_path / 'victim').read_text() == 'mine'
    assert not (run / 'report.html').is_symlink()


def test_results_that_unpack_to_very_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('lipfault.report.run.LARGEST_RESULTS', 1 << 20)
    (tmp_path / 'metrics.json').write_text('{}')
    np.savez_compressed(tmp_path / 'results.npz', a=np.zeros(1 << 20, np.uint8))
    assert (tmp_path / 'results.npz').stat().st_size < 10_000
    with pytest.raises(LipfaultError, match=r'results\.npz: unpacks to 1048704 bytes'):
        load_run(tmp_path)


def test_an_array_that_claims_more_than_it_holds_is_damaged(tmp_path):
    (tmp_path / 'metrics.json').write_text('{}')
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(tmp_path / 'results.npz', 'w') as archive:
        archive.writestr(
            'a.npy',
            b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header.encode() + b'\0' * 8,
        )
    with pytest.raises(LipfaultError, match=r'results\.npz: damaged'):
        load_run(tmp_path)


def test_a_torn_last_line_of_the_metrics_is_left_out(tmp_path):
    (tmp_path / 'metrics.csv').write_text('step,a\n1,0.5\n2,1e-')
    assert load_run(tmp_path).history['a'].value.tolist() == [0.5]


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('metrics.json', '{"\\u001b[2J": 1}'),
        ('metrics.json', '{"a": 1' + '0' * 400 + '}'),
        ('metrics.csv', 'step,\x1b[31m\n1,2\n'),
        ('metrics.csv', 'step,a\n1,"' + 'x' * 200_000 + '"\n'),
        ('lipfault_config.yaml', b'a: caf\xe9'),
        ('certificate.json', '[]'),
        ('certificate.json', '{"matrix": {"a": {"b": {}}}}'),
        ('certificate.json', '{"matrix": [1]}'),
        ('certificate.json', None),
        ('results.npz', None),
        ('metrics.csv', None),
        ('environment.json', None),
    ],
)
def test_files_of_another_content_are_named(stage_2, tmp_path, name, content, monkeypatch):
    run = tmp_path / 'run'
    shutil.copytree(stage_2, run, ignore=shutil.ignore_patterns('figures', 'report.html'))
    (run / name).unlink(missing_ok=True)
    if content is None:
        (run / name).mkdir()
    else:
        (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    only(monkeypatch, 'certificate')
    with pytest.raises(LipfaultError, match=name.split('.')[0]):
        write_report(run)


@pytest.mark.parametrize(
    ('key', 'shape'), [('modalities', ()), ('threshold', (3,)), ('seen/score', (0, 2))]
)
def test_results_of_another_shape_are_named(tmp_path, key, shape, monkeypatch):
    run = write_run(tmp_path / 'run', samples=1)
    with np.load(run / 'results.npz') as content:
        arrays = dict(content)
    arrays[key] = np.zeros(shape, arrays[key].dtype)
    np.savez(run / 'results.npz', **arrays)
    only(monkeypatch, 'detection')
    with pytest.raises(LipfaultError, match=r'no report can be drawn, as its results\.npz'):
        write_report(run)
    assert not (run / 'report.html').exists()
