"""A report keeps what is known of runs that are not on this machine."""

import json
from types import SimpleNamespace

import pytest

from experiments.main_path import experiment
from experiments.runner import kept
from experiments.runner.results import write_results
from experiments.runner.run import Run
from experiments.runner.state import State
from lipfault.errors import LipfaultError

KNOWN = {
    'none/known': {'device': 'cpu', 'hash': 'today', 'values': {'detection/f1': 0.25}},
    'none/other': {'device': 'cpu', 'hash': 'before', 'values': {'detection/f1': 0.5}},
}
"""What a folder of results says of two runs, the second of another configuration."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results of two runs, neither of which is here."""
    runs = {name: {0: Run(f'none/{name}', (), ())} for name in ('known', 'other')}
    monkeypatch.setattr(experiment, 'columns', lambda preset: runs)
    today = SimpleNamespace(hash='today', settings={'data.seed': 1})
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    (tmp_path / 'runs.json').write_text(json.dumps(KNOWN))
    return tmp_path


def test_results_of_todays_configuration_stay(folder):
    experiment.report('quick', folder)
    wanted = {'known': {'0': {'detection/f1': 0.25}}}
    assert json.loads((folder / 'results.json').read_text()) == wanted
    assert json.loads((folder / 'runs.json').read_text()) == {'none/known': KNOWN['none/known']}
    page = (folder / 'results.md').read_text()
    assert '| `detection/f1` | >= 0.98 | 0.25 |' in page
    assert 'Trained on: cpu (1 run).' in page
    experiment.report('quick', folder)
    assert (folder / 'results.md').read_text() == page


def test_what_was_measured_comes_back(folder):
    runs = {'known': {0: Run('none/known', (), ())}, 'third': {1: Run('none/third', (), ())}}
    found = kept.gathered(runs, folder, lambda run: pytest.fail('nothing is here to measure'))
    assert kept.values_of(found) == {'known': {'0': {'detection/f1': 0.25}}}
    assert kept.devices_of(found) == ['cpu']


def test_values_come_back_in_their_order(folder):
    runs = experiment.columns('quick')
    values = {'damage 2': [0.5], 'damage 16': [0.75], 'a': {'z': 1, 'b': 2}}
    found = {'known': {'0': kept.Measured('none/known', 'today', 'cpu', values)}}
    kept.keep(folder, found)
    again = kept.gathered(runs, folder, lambda run: {})
    assert again == found
    back = again['known']['0'].values
    assert list(back) == list(values)
    assert list(back['a']) == ['z', 'b']


@pytest.mark.parametrize(
    'text', ['{"none/known": "hash"}', '{"none/kn', '[]', '{"none/known": {}}']
)
def test_what_is_not_readable_is_named(folder, text):
    (folder / 'runs.json').write_text(text)
    with pytest.raises(LipfaultError, match=r'runs\.json is not readable .*: remove it'):
        experiment.report('quick', folder)


def test_what_is_here_is_measured_and_takes_the_place_of_what_was_known(
    folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    runs = experiment.columns('quick')
    today = State({'data.seed': 1}, done='tested')
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    today.write(runs['known'][0].folder)
    found = kept.gathered(runs, folder, lambda run: {'run': run.name})
    assert kept.values_of(found) == {'known': {'0': {'run': 'none/known'}}}
    assert 'none/known: the run on this machine (not recorded) takes' in capsys.readouterr().err
    assert kept.devices_of(found) == ['not recorded']


def test_nothing_measured_leaves_what_is_known(folder):
    before = (folder / 'runs.json').read_text()
    kept.keep(folder, {})
    assert (folder / 'runs.json').read_text() == before


def test_a_run_of_another_configuration_is_not_reported(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (run,) = experiment.columns('quick')['known'].values()
    State({'data.seed': 0}, done='tested').write(run.folder)
    with pytest.raises(LipfaultError, match=r'data\.seed: 0 then, 1 now'):
        experiment.report('quick', folder)
    assert not (folder / 'results.json').exists()
    assert json.loads((folder / 'runs.json').read_text()) == KNOWN


def test_only_runs_of_todays_configuration_are_ready(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (run,) = experiment.columns('quick')['known'].values()
    assert not kept.ready(run)
    today = State({'data.seed': 1}, done='fitted')
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    today.write(run.folder)
    assert not kept.ready(run)
    State({'data.seed': 1}, done='tested').write(run.folder)
    assert kept.ready(run)
    State({'data.seed': 0}, done='tested').write(run.folder)
    with pytest.raises(LipfaultError, match=r'data\.seed: 0 then, 1 now'):
        kept.ready(run)


def test_a_page_says_on_what_its_runs_were_trained(folder):
    write_results(folder, {'f1': 0.5}, ['| table |'], devices=['cpu', 'cpu'])
    assert (folder / 'results.md').read_text() == 'Trained on: cpu (2 runs).\n\n| table |\n'
    write_results(folder, {'f1': 0.5}, ['| table |'])
    assert (folder / 'results.md').read_text() == '| table |\n'


def test_earlier_results_stay_where_nothing_is_done(folder):
    (folder / 'results.json').write_text('{"f1": 0.5}')
    before = (folder / 'results.json').read_text()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.json').read_text() == before
    assert not (folder / 'results.md').exists()
    (folder / 'results.json').unlink()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.md').read_text() == 'No run is done yet.\n'
