"""The threshold holds for new episodes: by hand, and on episodes that differ from each other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.errors import LipfaultError
from lipfault.metrics.calibration import CONFIDENCE, episode_threshold
from lipfault.metrics.detection import clean_threshold

WINDOWS = 150
RATE = 0.01


def clean_scores(generator, episodes, heavy=False):
    """(episode, window) scores: an offset of each episode, as large as the noise of windows."""
    offset = torch.randn(episodes, 1, generator=generator)
    noise = torch.randn(episodes, WINDOWS, generator=generator)
    return (offset.exp() if heavy else offset) + noise


def calibrated(scores, rate=RATE):
    episode = torch.arange(len(scores)).repeat_interleave(scores.shape[1])
    return episode_threshold(scores.flatten(), episode, rate)


@pytest.mark.parametrize('episodes', [10, 30])
def test_new_episodes_keep_the_rate_in_95_of_100_splits(episodes):
    """Twice the nominal rate is exceeded by few splits, and by many with windows as units."""
    generator = torch.Generator().manual_seed(episodes)
    over_episodes, over_windows = [], []
    for _ in range(200):
        scores, new = clean_scores(generator, episodes), clean_scores(generator, 200)
        over_episodes.append(float((new > calibrated(scores).threshold).float().mean()))
        over_windows.append(float((new > clean_threshold(scores.flatten(), RATE)).float().mean()))
    assert sum(rate <= 2 * RATE for rate in over_episodes) >= 190
    assert sum(rate <= 2 * RATE for rate in over_windows) < 180


@pytest.mark.parametrize('heavy', [False, True])
@pytest.mark.parametrize('episodes', [1, 3, 9, 19])
def test_the_confidence_holds_without_an_assumption_on_the_scores(episodes, heavy):
    generator = torch.Generator().manual_seed(episodes)
    kept, confidence = [], 0.0
    for _ in range(1500):
        scores = clean_scores(generator, episodes + 1, heavy)
        found = calibrated(scores[1:])
        kept.append(float((scores[0] > found.threshold).float().mean()) <= RATE)
        confidence = found.confidence
    # Three standard errors of 1500 draws: 0.03.
    assert sum(kept) / 1500 >= confidence - 0.03


@given(episodes=st.integers(1, 40), windows=st.integers(100, 160), seed=st.integers(0, 20))
@settings(max_examples=40)
def test_the_threshold_is_a_score_and_not_below_that_over_windows(episodes, windows, seed):
    scores = torch.randn(episodes, windows, generator=torch.Generator().manual_seed(seed))
    found = calibrated(scores)
    assert found.threshold in scores
    assert found.threshold >= clean_threshold(scores.flatten(), RATE)
    kept = ((scores > found.threshold).float().mean(dim=1) <= RATE).sum().item()
    assert kept >= min(episodes, math.ceil(round(CONFIDENCE * (episodes + 1), 9)))
    shuffled = torch.randperm(scores.numel(), generator=torch.Generator().manual_seed(1))
    episode = torch.arange(episodes).repeat_interleave(windows)
    again = episode_threshold(scores.flatten()[shuffled], 7 * episode[shuffled], RATE)
    assert again == found


def test_episodes_by_hand():
    # Quantiles of the episodes: 19 of 20 windows at most 0.19 + episode, one far above.
    scores = torch.arange(20) / 100 + torch.arange(9.0)[:, None]
    scores[:, -1] += 100
    found = calibrated(scores, 0.1)
    assert found.threshold == pytest.approx(8.18)
    assert (found.episodes, found.confidence) == (9, 0.9)
    assert calibrated(scores[:4], 0.1).confidence == 0.8


def test_a_short_episode_counts_with_its_largest_score():
    long = torch.zeros(200)
    short = torch.tensor([1.0, 5.0])
    episode = torch.cat([torch.zeros(200), torch.ones(2)]).long()
    assert episode_threshold(torch.cat([long, short]), episode, 0.01).threshold == 5


def test_what_the_episodes_support_is_stated():
    scores = torch.randn(4, 200, generator=torch.Generator().manual_seed(0))
    few = calibrated(scores)
    assert few.supported_rate == 0.2
    assert 'from 4 calibration episodes' in few.statement()
    assert 'at most 0.01 with a chance of 80%' in few.statement()
    assert '9 episodes give 90%' in few.statement()
    assert 'bounded by 0.2 at best; a bound of 0.01 needs 99 episodes' in few.statement()
    enough = calibrated(scores.repeat(30, 1)).statement()
    assert 'bounded' not in enough
    assert 'give' not in enough


def test_refuses_what_windows_cannot_support():
    with pytest.raises(LipfaultError, match=r'at least 99.*got 50'):
        calibrated(torch.randn(5, 10))
    with pytest.raises(LipfaultError, match='finite'):
        calibrated(torch.full((5, 100), torch.nan))
