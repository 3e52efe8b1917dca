"""Reports keep the measurements of runs that are not on this machine."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.main_path import experiment
from experiments.runner import catalogue, kept
from experiments.runner.execute import wanted_state
from experiments.runner.results import write_results
from experiments.runner.run import Run
from experiments.runner.state import State
from lipfault.errors import LipfaultError

ROOT = Path(__file__).parents[2]
KNOWN = {
    'none/known': {'device': 'cpu', 'hash': 'today', 'values': {'detection/f1': 0.25}},
    'none/other': {'device': 'cpu', 'hash': 'before', 'values': {'detection/f1': 0.5}},
}
"""Kept measurements of two runs, the second of another configuration."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder that keeps measurements of two runs without run folders."""
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


def test_kept_measurements_are_returned(folder):
    runs = {'known': {0: Run('none/known', (), ())}, 'third': {1: Run('none/third', (), ())}}
    found = kept.gathered(runs, folder, lambda run: pytest.fail('nothing is here to measure'))
    assert kept.values_of(found) == {'known': {'0': {'detection/f1': 0.25}}}
    assert kept.devices_of(found) == ['cpu']


def test_values_keep_their_order(folder):
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
def test_an_unreadable_file_is_named(folder, text):
    (folder / 'runs.json').write_text(text)
    with pytest.raises(LipfaultError, match=r'runs\.json is not readable .*: remove it'):
        experiment.report('quick', folder)


def test_a_run_on_this_machine_replaces_its_kept_measurements(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    runs = experiment.columns('quick')
    today = State({'data.seed': 1}, done='tested')
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    today.write(runs['known'][0].folder)
    found = kept.gathered(runs, folder, lambda run: {'run': run.name})
    assert kept.values_of(found) == {'known': {'0': {'run': 'none/known'}}}
    assert 'none/known: the run on this machine (not recorded) takes' in capsys.readouterr().err
    assert kept.devices_of(found) == ['not recorded']


def test_an_empty_report_leaves_the_kept_measurements(folder):
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


def test_a_page_names_training_devices_and_versions(folder):
    write_results(folder, {'f1': 0.5}, ['| table |'], devices=['cpu', 'cpu'])
    assert (folder / 'results.md').read_text() == 'Trained on: cpu (2 runs).\n\n| table |\n'
    write_results(folder, {'f1': 0.5}, ['| table |'])
    assert (folder / 'results.md').read_text() == '| table |\n'
    write_results(folder, {'f1': 0.5}, ['| table |'], devices=['cpu'], versions=['0.1.0', '0.2.0'])
    first = 'Trained on: cpu (1 run). Measured with lipfault 0.1.0, 0.2.0.\n'
    assert (folder / 'results.md').read_text() == f'{first}\n| table |\n'


def test_the_version_of_a_run_is_kept(folder, monkeypatch):
    monkeypatch.chdir(folder)
    runs = experiment.columns('quick')
    today = State({'data.seed': 1}, done='tested')
    monkeypatch.setattr(kept, 'wanted_state', lambda run: today)
    known = runs['known'][0].folder
    today.write(known)
    environment = {'device': 'cpu', 'packages': {'lipfault': '0.3.0'}}
    (known / 'environment.json').write_text(json.dumps(environment))
    found = kept.gathered(runs, folder, lambda run: {})
    assert kept.versions_of(found) == ['0.3.0']
    kept.keep(folder, found)
    assert json.loads((folder / 'runs.json').read_text())['none/known']['made_with'] == '0.3.0'
    shutil.rmtree(known)
    assert kept.gathered(runs, folder, lambda run: {}) == found


def test_earlier_results_stay_without_tested_runs(folder):
    (folder / 'results.json').write_text('{"f1": 0.5}')
    before = (folder / 'results.json').read_text()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.json').read_text() == before
    assert not (folder / 'results.md').exists()
    (folder / 'results.json').unlink()
    write_results(folder, {}, ['No run is done yet.'])
    assert (folder / 'results.md').read_text() == 'No run is done yet.\n'


@pytest.mark.parametrize('name', ['locality'])
def test_committed_measurements_are_of_todays_configuration(name):
    """Reports drop measurements of other configurations: a renamed setting would lose them."""
    committed = json.loads((ROOT / f'experiments/{name}/results/runs.json').read_text())
    planned = [r for r in catalogue.experiment(name).runs('full') if r.name in committed]
    runs = [run for run in planned if run.name.startswith('full/ur5-0/')]
    assert runs
    for run in runs:
        assert committed[run.name]['hash'] == wanted_state(run).hash, run.name


def test_measurements_on_the_faults_of_an_earlier_version_do_not_count_as_todays():
    """Until they are measured anew, the page names the version whose faults they are on."""
    committed = json.loads((ROOT / 'experiments/baselines/results/runs.json').read_text())
    planned = [r for r in catalogue.experiment('baselines').runs('full') if r.name in committed]
    runs = [run for run in planned if run.name.startswith('full/ur5-0/') and run.pretrained]
    assert runs
    for run in runs:
        assert committed[run.name]['hash'] != wanted_state(run).hash, run.name
    versions = {committed[run.name]['made_with'] for run in runs}
    page = (ROOT / 'docs/baselines.md').read_text()
    assert f'Measured with lipfault {", ".join(sorted(versions))}.' in page


def test_pooled_energies_of_older_measurements_are_renamed(folder):
    older = {'corrector/energy_left': 0.1, 'metrics': {'corrector/energy_left_unseen': 0.2}}
    runs = {'none/known': {'device': 'cpu', 'hash': 'today', 'values': older}}
    (folder / 'runs.json').write_text(json.dumps(runs))
    columns = {'known': {0: Run('none/known', (), ())}}
    found = kept.known_of(columns, folder)['known']['0'].values
    assert found == {
        'corrector/energy_left_pooled': 0.1,
        'metrics': {'corrector/energy_left_pooled_unseen': 0.2},
    }
