"""Intervals over episodes: known values, other implementations, and their coverage."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lipfault.metrics.by_episode import area_under_roc, mean_of_medians, ratio_of_sums
from lipfault.metrics.intervals import (
    episode_numbers,
    interval,
    intervals,
    resamples,
    student_quantile,
)


def repeated(values, episode, weights):
    """Return the values, those of an episode as often as its weight."""
    return torch.repeat_interleave(values, weights[episode].long())


@pytest.fixture
def samples():
    """Scores with ties, truth, groups and episodes of 60 samples."""
    generator = torch.Generator().manual_seed(4)
    scores = torch.randn(60, generator=generator).round(decimals=1)
    faulty = torch.rand(60, generator=generator) < 0.5
    group = torch.randint(3, (60,), generator=generator)
    return scores, faulty, group, torch.arange(60) % 5


WEIGHTS = torch.tensor(
    [[1, 1, 1, 1, 1], [2, 0, 1, 0, 2], [0, 3, 0, 1, 1], [5, 0, 0, 0, 0]], dtype=torch.float64
)


def test_weights_are_repetitions_of_episodes(samples):
    """Each statistic equals its textbook form on the data with repeated episodes."""
    scores, faulty, group, episode = samples
    auroc = area_under_roc(scores, faulty, episode, 5)(WEIGHTS)
    medians = mean_of_medians(scores.double(), group, episode)(WEIGHTS)
    ratio = ratio_of_sums(scores, faulty, episode, 5)(WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        s, f, g = (repeated(x, episode, weights) for x in (scores, faulty, group))
        wins = stats.mannwhitneyu(s[f].numpy(), s[~f].numpy()).statistic
        assert float(auroc[row]) == pytest.approx(wins / int(f.sum()) / int((~f).sum()))
        wanted = np.mean([np.median(s[g == k].numpy()) for k in g.unique().tolist()])
        assert float(medians[row]) == pytest.approx(wanted, abs=1e-6)
        assert float(ratio[row]) == pytest.approx(float(s.sum() / f.sum()))


def test_a_statistic_without_its_samples_is_nan(samples):
    scores, _, group, episode = samples
    none = torch.zeros(60, dtype=torch.bool)
    assert area_under_roc(scores, none, episode, 5)(WEIGHTS).isnan().all()
    assert mean_of_medians(torch.full((60,), torch.nan), group, episode)(WEIGHTS).isnan().all()
    alone = mean_of_medians(scores[episode == 1], group[episode == 1], episode[episode == 1])
    assert alone(WEIGHTS).isnan().tolist() == [False, True, False, True]


@given(share=st.floats(0.51, 0.9999), freedom=st.integers(1, 200))
def test_quantiles_of_student(share, freedom):
    assert student_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-6)


@given(episodes=st.integers(1, 30), seed=st.integers(0, 5))
@settings(max_examples=20)
def test_resamples_draw_as_many_episodes_as_there_are(episodes, seed):
    found = resamples(episodes, 50, seed)
    assert found.shape == (50, episodes)
    assert (found.sum(dim=1) == episodes).all()
    assert torch.equal(found, resamples(episodes, 50, seed))
    if episodes > 5:
        assert not torch.equal(found, resamples(episodes, 50, seed + 1))


def test_resamples_are_fair():
    assert resamples(7, 20000).mean(dim=0).numpy() == pytest.approx(np.ones(7), abs=0.03)


@pytest.mark.parametrize('episodes', [6, 12])
def test_the_interval_of_a_mean_covers_it(episodes):
    """Of 95 % intervals of means of skewed episode rates about 95 % hold the truth."""
    rng = np.random.default_rng(episodes)
    held, plain = 0, 0
    for _ in range(300):
        rates = torch.from_numpy(rng.gamma(4.0, 1.0, episodes))
        ones, own = torch.ones(episodes), torch.arange(episodes)
        low, high = interval(ratio_of_sums(rates, ones, own, episodes), episodes)
        held += low <= 4.0 <= high
        means = resamples(episodes) @ rates / episodes
        plain += bool(means.quantile(0.025) <= 4.0 <= means.quantile(0.975))
    assert 0.90 <= held / 300 <= 0.985
    assert held > plain


def test_the_width_of_a_mean_is_that_of_student():
    rng = np.random.default_rng(0)
    rates = torch.from_numpy(rng.normal(size=10))
    own = torch.arange(10)
    low, high = interval(ratio_of_sums(rates, torch.ones(10), own, 10), 10)
    half = stats.t.ppf(0.975, 9) * float(rates.std()) / math.sqrt(10)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_one_episode_has_no_interval():
    one = torch.ones(1)
    found = intervals({'a/b': ratio_of_sums(one, one, torch.zeros(1).long(), 1)}, 1)
    assert set(found) == {'a/b_low', 'a/b_high'}
    assert all(math.isnan(value) for value in found.values())


def test_a_metric_that_is_never_finite_has_no_interval(samples):
    _, _, _, episode = samples
    nothing = torch.zeros(60)
    low, high = interval(ratio_of_sums(nothing, nothing, episode, 5), 5)
    assert math.isnan(low)
    assert math.isnan(high)


def test_episodes_are_numbered_from_zero():
    numbers, count = episode_numbers(torch.tensor([17, 4, 17, 30]))
    assert numbers.tolist() == [1, 0, 1, 2]
    assert count == 3
