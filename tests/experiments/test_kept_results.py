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

OLD = {
    'known': {'0': {'detection/f1': 0.25, 'device': 'cpu'}},
    'other': {'0': {'detection/f1': 0.5, 'device': 'cpu'}},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results of two runs, neither of which is here."""
    runs = {name: {0: Run(f'none/{name}', (), ())} for name in OLD}
    monkeypatch.setattr(experiment, 'columns', lambda preset: runs)
    today = SimpleNamespace(hash='today', settings={'data.seed': 1})
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    (tmp_path / 'results.json').write_text(json.dumps(OLD))
    (tmp_path / 'runs.json').write_text(json.dumps({'none/known': 'today', 'none/other': 'before'}))
    return tmp_path


def test_results_of_todays_configuration_stay(folder):
    experiment.report('quick', folder)
    assert json.loads((folder / 'results.json').read_text()) == {'known': OLD['known']}
    assert json.loads((folder / 'runs.json').read_text()) == {'none/known': 'today'}
    page = (folder / 'results.md').read_text()
    assert '| `detection/f1` | >= 0.98 | 0.25 |' in page
    assert 'Trained on: cpu (1 run).' in page
    experiment.report('quick', folder)
    assert (folder / 'results.md').read_text() == page


def test_a_run_of_another_configuration_is_not_reported(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (run,) = experiment.columns('quick')['known'].values()
    State({'data.seed': 0}, done='tested').write(run.folder)
    with pytest.raises(LipfaultError, match=r'data\.seed: 0 then, 1 now'):
        experiment.report('quick', folder)
    assert json.loads((folder / 'results.json').read_text()) == OLD


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


def test_a_page_says_on_what_its_runs_were_trained(folder, monkeypatch):
    monkeypatch.chdir(folder)
    runs = [Run(f'none/{name}', (), ()) for name in 'abc']
    for run, done in zip(runs, ('tested', 'tested', 'started'), strict=True):
        State({}, done=done).write(run.folder)
        (run.folder / 'environment.json').write_text(json.dumps({'device': 'cpu'}))
    write_results(folder, {'f1': 0.5}, ['| table |'], runs=runs)
    assert (folder / 'results.md').read_text() == 'Trained on: cpu (2 runs).\n\n| table |\n'
    write_results(folder, {'f1': 0.5}, ['| table |'])
    assert (folder / 'results.md').read_text() == '| table |\n'


def test_earlier_results_stay_where_nothing_is_done(folder):
    before = (folder / 'results.json').read_text()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.json').read_text() == before
    assert not (folder / 'results.md').exists()
    (folder / 'results.json').unlink()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.md').read_text() == 'No run is done yet.\n'
