"""Paired differences agree with the metrics, their intervals with references."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from experiments.runner.pairs import COLUMNS, Scored, episodes, paired_differences, read_scored
from lipfault.errors import LipfaultError
from lipfault.metrics.detection import detection_summary
from lipfault.metrics.recovery import energy_left_pooled, recovery, relative_change


def arrays(seed, windows=400):
    rng = np.random.default_rng(seed)
    faulty = np.random.default_rng(0).random(windows) < 0.5
    found = {
        'sample_id': np.concatenate([np.arange(k, k + 50) for k in range(0, 2 * windows, 100)]),
        'score': rng.normal(size=windows) + 2 * faulty,
        'faulty': faulty,
        'modality': np.where(faulty, rng.integers(0, 3, windows), -1),
        'predicted_modality': rng.integers(0, 3, windows),
    }
    for key in ('energy_injected', 'energy_left', 'error_clean', 'error_uncorrected',
                'error_corrected'):  # fmt: skip
        found[key] = np.where(faulty, rng.random(windows) + 0.1, np.nan)
    return found | {key: rng.random(windows) + 0.1 for key in ('harm_before', 'harm_after')}


def run(tmp_path, name, seed, threshold=1.0):
    folder = tmp_path / name
    folder.mkdir()
    found = arrays(seed)
    np.savez(
        folder / 'results.npz', threshold=threshold, **{f'seen/{k}': v for k, v in found.items()}
    )
    return folder, {k: torch.as_tensor(v) for k, v in found.items()}


def test_values_equal_those_of_the_metrics(tmp_path):
    (one, a), (two, b) = run(tmp_path, 'one', 1), run(tmp_path, 'two', 2)
    found = paired_differences([read_scored(one)['seen']], [read_scored(two)['seen']])

    def figures(v):
        keys = ('score', 'faulty', 'modality', 'predicted_modality')
        summary = detection_summary(*(v[k] for k in keys), threshold=1.0)
        f = {k: x[v['faulty']] for k, x in v.items()}
        summary['energy_left'] = energy_left_pooled(f['energy_injected'], f['energy_left'])
        errors = (f[f'error_{k}'] for k in ('clean', 'uncorrected', 'corrected'))
        summary['degradation'] = relative_change(v['harm_before'], v['harm_after'])
        return summary | {'recovery': recovery(*errors)}

    for name, difference in found.items():
        assert difference.mean == pytest.approx(figures(a)[name] - figures(b)[name], abs=1e-6)
        assert difference.low <= difference.mean <= difference.high


def scored(recalls, seed=0):
    """Return the sums of 20 faulty windows per episode, with the given recall of each episode."""
    rng = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(100 * k, 100 * k + 20) for k in range(len(recalls))])
    columns = np.zeros((len(ids), len(COLUMNS)))
    columns[:, COLUMNS.index('faulty')] = 1
    columns[:, COLUMNS.index('true_positives')] = rng.random(len(ids)) < np.repeat(recalls, 20)
    return Scored.of_windows(ids, columns)


def test_interval_has_the_width_of_the_spread_between_episodes():
    rng = np.random.default_rng(1)
    recalls = np.clip(rng.normal(0.6, 0.15, 100), 0, 1)
    ours, other = scored(recalls), scored(np.zeros(100))
    difference = paired_differences([ours], [other])['recall']
    each = ours.columns[:, COLUMNS.index('true_positives')] / 20
    interval = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(interval))


def test_intervals_of_four_episodes_have_their_nominal_coverage():
    """A ratio of sums over episodes that differ as much as test episodes do."""
    rng, held = np.random.default_rng(0), 0
    other = Scored(np.arange(4), np.ones((4, len(COLUMNS))))
    for _ in range(500):
        columns = np.ones((4, len(COLUMNS)))
        columns[:, COLUMNS.index('injected')] = injected = rng.uniform(1, 3, 4)
        columns[:, COLUMNS.index('left')] = injected * rng.normal(0.2, 0.05, 4)
        found = paired_differences([Scored(np.arange(4), columns)], [other])['energy_left']
        held += found.low <= 0.2 - 1 <= found.high
    assert held >= 0.92 * 500


def test_common_variation_cancels():
    recalls = np.random.default_rng(1).random(60)
    same = paired_differences([scored(recalls)], [scored(recalls)])['recall']
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_one_episode_has_no_interval():
    one = scored(np.array([0.5]))
    difference = paired_differences([one], [one])['recall']
    assert difference.mean == 0
    assert np.isnan([difference.low, difference.high]).all()


def test_other_windows_are_refused():
    one, two = scored(np.ones(3)), scored(np.ones(4))
    with pytest.raises(LipfaultError, match='same test windows'):
        paired_differences([one], [two])
    with pytest.raises(LipfaultError, match='equal seeds'):
        paired_differences([one], [one, one])


def test_kept_sums_give_the_same_differences(tmp_path):
    one, two = (read_scored(run(tmp_path, n, s)[0])['seen'] for n, s in (('one', 1), ('two', 2)))
    kept = [Scored.from_dict(json.loads(json.dumps(s.to_dict()))) for s in (one, two)]
    wanted, found = paired_differences([one], [two]), paired_differences(kept[:1], kept[1:])
    for name, difference in wanted.items():
        assert found[name].low == pytest.approx(difference.low, rel=1e-5), name


def test_windows_may_come_in_any_order():
    ids, columns = np.arange(30), np.random.default_rng(0).random((30, len(COLUMNS)))
    ids[20:] += 5
    order = np.random.default_rng(1).permutation(30)
    ordered, mixed = Scored.of_windows(ids, columns), Scored.of_windows(ids[order], columns[order])
    assert ordered.first.tolist() == mixed.first.tolist() == [0, 25]
    np.testing.assert_allclose(ordered.columns, mixed.columns)
    np.testing.assert_allclose(ordered.columns[1], columns[20:].sum(axis=0))


def test_episodes_are_separated_by_gaps():
    assert episodes(np.array([7, 8, 9, 20, 21, 40])).tolist() == [0, 0, 0, 1, 1, 2]
