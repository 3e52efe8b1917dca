"""Reports over several seeds, of which some runs are not on this machine."""

import json
import math

import pytest

from experiments.delay import experiment as delay
from experiments.gain_matrix import experiment as gain_matrix
from experiments.runner import kept
from experiments.runner.run import Run
from experiments.runner.state import State


def known(folder, experiment, monkeypatch, values):
    """Let a folder know of two seeds of `ours` and of one of `other`."""
    runs = {n: {s: Run(f'full/a-{s}/{n}', ()) for s in (0, 1)} for n in ('ours', 'other')}
    monkeypatch.setattr(kept, 'wanted_state', lambda run: State({}))
    monkeypatch.setattr(experiment, 'looked_at', lambda preset: {'a': runs, 'b': {'ours': {}}})
    found = {
        name: {
            seed: kept.Measured(runs[name][int(seed)].name, State({}).hash, 'cpu', of_seed)
            for seed, of_seed in seeds.items()
        }
        for name, seeds in values.items()
    }
    kept.keep(folder, found)


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
    known(tmp_path, delay, monkeypatch, values)
    delay.report('full', tmp_path)
    assert json.loads((tmp_path / 'results.json').read_text()) == {'a': values}
    page = (tmp_path / 'results.md').read_text()
    assert 'Trained on: cpu (3 runs).' in page
    assert '| ours (2) | 3 ± 0 | 0.8333 ± 0.24 | 1 ± 0.71 | inf |' in page
    assert '| other (1) | 3 | 0.3333 | inf | inf |' in page
    assert '## b' not in page
    assert (tmp_path / 'delay_a.png').stat().st_size > 5000
    ours, other = delay.draw(values).axes[0].lines
    # The seeds together, from none found to the end of the slowest curve.
    assert ours.get_ydata().tolist() == pytest.approx([*(k / 6 for k in range(6)), 5 / 6])
    assert other.get_ydata().tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert ours.get_xdata()[-1] == other.get_xdata()[-1] == 1.5
    assert (ours.get_label(), other.get_label()) == ('ours (2)', 'other (1)')


def matrix(energy):
    gains = {'energy': energy, 'mean': 2 * energy, 'p95': 1.0, 'largest': 1.0, 'faults': 3.0}
    return {'arm': {'arm': gains, 'eye': gains | {'energy': 0.0}}}


def test_gains_are_averaged_over_the_seeds(tmp_path, monkeypatch):
    values = {'ours': {'0': matrix(0.25), '1': matrix(0.75)}, 'other': {'0': matrix(0.5)}}
    known(tmp_path, gain_matrix, monkeypatch, values)
    gain_matrix.report('full', tmp_path)
    assert json.loads((tmp_path / 'results.json').read_text()) == {'a': values}
    page = (tmp_path / 'results.md').read_text()
    assert '| gain (mean over faults) | arm → arm | arm → eye |' in page
    assert '| ours (2) | 0.5 ± 0.35 (1) | 0 ± 0 (1) |' in page
    assert '| other (1) | 0.5 (1) | 0 (1) |' in page
    shown = [axes.images[0].get_array().tolist() for axes in gain_matrix.draw(values).axes[:2]]
    assert shown == [[[0.5, 0.0]], [[0.5, 0.0]]]
