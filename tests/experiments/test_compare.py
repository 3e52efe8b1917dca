"""Comparison of methods: from run folders to tables, differences and heat maps."""

import json
import shutil

import numpy as np
import pytest
import torch

from experiments.runner import compare as compare_module
from experiments.runner import kept
from experiments.runner import run as run_module
from experiments.runner.compare import compare
from experiments.runner.run import Run
from experiments.runner.state import State


def write_run(run, seed, shift, done='tested'):
    """Write the folder of a run of stage 2; a larger shift of faulty scores means more recall."""
    rng = np.random.default_rng(seed)
    windows = 200
    faulty = np.random.default_rng(0).random(windows) < 0.5
    left = {key: np.where(faulty, rng.random(windows) + 0.1, np.nan) for key in (
        'energy_injected', 'energy_left', 'error_clean', 'error_uncorrected', 'error_corrected',
        'error_oracle', 'damage',
    )}  # fmt: skip
    left |= {
        'sample_id': np.concatenate([np.arange(k, k + 50) for k in range(0, 400, 100)]),
        'score': rng.normal(size=windows) + shift * faulty,
        'faulty': faulty,
        'modality': np.where(faulty, 0, -1),
        'predicted_modality': np.zeros(windows, int),
        'kind': np.where(faulty, rng.integers(0, 3, windows), -1),
        'severity': np.where(faulty, rng.integers(1, 6, windows), 0),
    }
    State({'seed': seed_of(run)}, 'below', done, {'fit': 12.0}).write(run.folder)
    names = {'kinds': np.array(['bias', 'fog', 'delay']), 'modalities': np.array(['arm'])}
    arrays = {f'seen/{key}': value for key, value in left.items()}
    np.savez(run.folder / 'results.npz', threshold=2.0, **names, **arrays)
    metrics = {
        'detection/f1': 0.5 + 0.1 * seed, 'detection/recall_damage_0_1': 0.25,
        'detection/recall_kind_bias': 0.5, 'detection_unseen/recall_kind_salt_spray': 0.75,
    }  # fmt: skip
    (run.folder / 'metrics.json').write_text(json.dumps(metrics))
    (run.folder / 'environment.json').write_text('{"device": "cpu"}')
    (run.folder / 'checkpoints').mkdir()
    weights = {
        'block.a': torch.zeros(3, 4),
        'block.relations.b': torch.zeros(9),
        'c': torch.ones(5),
    }
    torch.save({'lipfault': {}, 'state_dict': weights}, run.folder / 'checkpoints' / 'best.ckpt')


def seed_of(run):
    return int(run.name.split('/')[1][-1])


@pytest.fixture
def methods(monkeypatch, tmp_path):
    monkeypatch.setattr(run_module, 'ROOT', tmp_path / 'runs')
    monkeypatch.setattr(kept, 'wanted_state', lambda run: State({'seed': seed_of(run)}, 'below'))
    monkeypatch.setattr(compare_module, 'cost_of', lambda run: {'parameters': 12})
    found = {n: {s: Run(f'full/a-{s}/{n}', ()) for s in (0, 1)} for n in ('ours', 'other', 'late')}
    for seed in (0, 1):
        write_run(found['ours'][seed], seed, shift=4.0)
        write_run(found['other'][seed], seed + 7, shift=2.0)
        write_run(found['late'][seed], seed, shift=2.0, done='fitted')
    return found


def test_only_tested_runs_are_compared(methods, tmp_path):
    compare({'a': methods}, 'ours', tmp_path, maps=True)
    results = json.loads((tmp_path / 'results.json').read_text())['a']
    assert set(results['metrics']) == {'ours', 'other'}
    assert results['metrics']['ours']['1'] == {
        'detection/f1': 0.6, 'detection/recall_damage_0_1': 0.25,
        'detection_unseen/recall_kind_salt_spray': 0.75, 'cpu_s/fit (cpu)': 12.0,
    }  # fmt: skip
    assert results['metrics']['ours']['0']['parameters'] == 12
    recall = results['ours minus']['other']['recall']
    assert 0.3 < recall['low'] < recall['mean'] < recall['high'] < 0.7
    text = (tmp_path / 'results.md').read_text()
    assert '| `detection/f1` | 0.55 ± 0.071 | 1.25 ± 0.071 |' in text
    assert '| recall by damage | 0 to 1 |' in text
    assert '| recall by kind held out | salt spray |' in text
    assert '| ours | 0.75 ± 0 |' in text
    assert 'Trained on: cpu (4 runs).' in text
    for name in ('recall_a', 'compare_a', 'differences_a'):
        assert (tmp_path / f'{name}.png').stat().st_size > 5000
        assert (tmp_path / f'{name}.svg').stat().st_size > 5000


def test_results_of_runs_elsewhere_stay(methods, tmp_path):
    compare({'a': methods}, 'ours', tmp_path)
    names = ('results.json', 'results.md', 'runs.json')
    before = {name: (tmp_path / name).read_text() for name in names}
    for run in methods['other'].values():
        shutil.rmtree(run.folder)
    compare({'a': methods}, 'ours', tmp_path)
    assert {name: (tmp_path / name).read_text() for name in names} == before

    known = json.loads(before['runs.json'])
    known[methods['other'][1].name]['hash'] = 'of yesterday'
    (tmp_path / 'runs.json').write_text(json.dumps(known))
    compare({'a': methods}, 'ours', tmp_path)
    results = json.loads((tmp_path / 'results.json').read_text())['a']
    assert set(results['metrics']['other']) == {'0'}
    assert set(results['metrics']['ours']) == {'0', '1'}


def test_times_of_two_devices_have_a_row_each(methods, tmp_path):
    for run in (methods['ours'][1], methods['other'][0], methods['other'][1]):
        (run.folder / 'environment.json').write_text('{"device": "NVIDIA H200"}')
    compare({'a': methods}, 'ours', tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert '| `cpu_s/fit (cpu)` | 12 (1) | – |' in text
    assert '| `cpu_s/fit (NVIDIA H200)` | 12 (1) | 12 ± 0 |' in text
    runs = json.loads((tmp_path / 'runs.json').read_text())
    assert runs[methods['ours'][1].name]['values']['metrics']['cpu_s/fit'] == 12.0


def test_another_stage_one_is_reported(methods, tmp_path):
    skills = {('ours', 0): 0.9, ('other', 0): 0.9, ('ours', 1): 0.9, ('other', 1): 0.91}
    for (name, seed), skill in skills.items():
        file = methods[name][seed].folder / 'metrics.json'
        file.write_text(json.dumps(json.loads(file.read_text()) | {'skill/arm': skill}))
    compare({'a': methods}, 'ours', tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert 'Seed 1: other training of stage 1 than ours' in text
    assert 'unless stage 1 is what varies: other.' in text
    assert 'Seed 0' not in text
    assert 'Test episodes, adjacent ones in the recording as one: 4 (seen).' in text
    before = (tmp_path / 'results.md').read_text()
    shutil.rmtree(methods['other'][1].folder)
    compare({'a': methods}, 'ours', tmp_path)
    assert (tmp_path / 'results.md').read_text() == before


def test_metrics_of_another_experiment_are_added(methods, tmp_path):
    other, run = tmp_path / 'other', methods['ours'][1]
    other.mkdir()
    values = {'detected': 0.75, 'delay_median_s': 0.5, 'events': 4}
    runs = {'ours': {'1': kept.Measured(run.name, kept.wanted_state(run).hash, 'cpu', values)}}
    kept.keep(other, runs)
    compare({'a': methods}, 'ours', tmp_path, beside=other)
    results = json.loads((tmp_path / 'results.json').read_text())['a']['metrics']
    assert results['ours']['1']['delay/detected'] == 0.75
    assert not any(
        'delay/detected' in m for m in (results['ours']['0'], *results['other'].values())
    )
    assert '| `delay/median_s` | 0.5 (1) | – |' in (tmp_path / 'results.md').read_text()
    assert 'delay' not in (tmp_path / 'runs.json').read_text()


def test_without_tested_runs_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, 'ROOT', tmp_path / 'runs')
    compare({'a': {'ours': {0: Run('full/a-0/ours', ())}}}, 'ours', tmp_path)
    assert (tmp_path / 'results.md').read_text() == 'No run is done yet.\n'


def test_figures_are_the_same_bytes_again(methods, tmp_path):
    contents = []
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        compare({'a': methods}, 'ours', tmp_path / name)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
