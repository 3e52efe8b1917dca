"""Reports over several seeds, from kept measurements alone."""

import json
import math

import pytest

from experiments.delay import experiment as delay
from experiments.gain_matrix import experiment as gain_matrix
from experiments.runner import kept
from experiments.runner.run import Run
from experiments.runner.state import State


def reported(folder, experiment, monkeypatch, values):
    """Report kept measurements of some seeds of two methods; return the page."""
    runs = {n: {s: Run(f'full/a-{s}/{n}', ()) for s in (0, 1)} for n in ('ours', 'other')}
    monkeypatch.setattr(kept, 'wanted_state', lambda run: State({}))
    cells = {'a': runs, 'b': {'ours': {}}}
    monkeypatch.setattr(experiment, 'methods_by_cell', lambda preset: cells)
    found = {
        name: {
            seed: kept.Measured(runs[name][int(seed)].name, State({}).hash, 'cpu', of_seed)
            for seed, of_seed in seeds.items()
        }
        for name, seeds in values.items()
    }
    kept.keep(folder, found)
    experiment.report('full', folder)
    assert json.loads((folder / 'results.json').read_text()) == {'a': values}
    return (folder / 'results.md').read_text()


def delays(*values):
    found = [v for v in values if v < math.inf]
    return {
        'events': len(values), 'detected': len(found) / len(values), 'delay_median_s': values[1],
        'delay_p90_s': values[-1], 'alarms_outside': 0.0,
        'delays_s': list(values),
    }  # fmt: skip


def test_delays_of_seeds_that_miss_some(tmp_path, monkeypatch):
    values = {
        'ours': {'0': delays(0.25, 0.5, 1.0), '1': delays(0.25, 1.5, math.inf)},
        'other': {'1': delays(0.5, math.inf, math.inf)},
    }
    page = reported(tmp_path, delay, monkeypatch, values)
    assert 'Trained on: cpu (3 runs).' in page
    assert '| ours (2) | 3 ± 0 | 0.8333 ± 0.24 | 1 ± 0.71 | inf |' in page
    assert '| other (1) | 3 | 0.3333 | inf | inf |' in page
    assert '## b' not in page
    assert (tmp_path / 'delay_a.png').stat().st_size > 5000
    ours, other = delay.draw(values).axes[0].lines
    # Both seeds pooled, from share 0 to the end of the slowest curve.
    assert ours.get_ydata().tolist() == pytest.approx([*(k / 6 for k in range(6)), 5 / 6])
    assert other.get_ydata().tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert ours.get_xdata()[-1] == other.get_xdata()[-1] == 1.5
    assert (ours.get_label(), other.get_label()) == ('ours (2)', 'other (1)')


def matrix(rms):
    gains = {'rms': rms, 'mean': 2 * rms, 'p95': 1.0, 'largest': 1.0, 'faults': 3.0}
    return {'arm': {'arm': gains, 'eye': gains | {'rms': 0.0}}}


def test_gains_are_averaged_over_the_seeds(tmp_path, monkeypatch):
    values = {'ours': {'0': matrix(0.25), '1': matrix(0.75)}, 'other': {'0': matrix(0.5)}}
    page = reported(tmp_path, gain_matrix, monkeypatch, values)
    assert '| RMS gain (mean over faults) | arm → arm | arm → eye |' in page
    assert '| ours (2) | 0.5 ± 0.35 (1) | 0 ± 0 (1) |' in page
    assert '| other (1) | 0.5 (1) | 0 (1) |' in page
    drawn = [axes.images[0].get_array().tolist() for axes in gain_matrix.draw(values).axes[:2]]
    assert drawn == [[[0.5, 0.0]], [[0.5, 0.0]]]
