"""Alarm threshold that holds for a new episode, from the clean scores of several episodes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.metrics.detection import clean_threshold

CONFIDENCE = 0.9
"""Wanted chance that a new episode keeps the false alarm rate; takes 9 calibration episodes."""


@dataclass(frozen=True)
class Calibration:
    """A threshold, and what its calibration episodes support without an assumption on the scores.

    Args:
        threshold: A score above it is an alarm.
        rate: Wanted false alarm rate.
        episodes: Number of calibration episodes.
        confidence: Chance that a new episode of the same length keeps the wanted rate.
        supported_rate: Smallest bound on the mean rate over new episodes that any threshold has:
            1 / (episodes + 1).
    """

    threshold: float
    rate: float
    episodes: int
    confidence: float
    supported_rate: float

    def statement(self) -> str:
        """State in words what the calibration episodes support.

        Returns:
            One or two sentences.
        """
        text = (
            f'threshold from {self.episodes} calibration episodes: a new episode has a false alarm '
            f'rate of at most {self.rate:g} with a chance of {self.confidence:.0%}'
        )
        if self.confidence < CONFIDENCE:
            text += f' ({_needed(1 - CONFIDENCE)} episodes give {CONFIDENCE:.0%})'
        if self.supported_rate > self.rate:
            text += (
                f'. The mean over new episodes is bounded by {self.supported_rate:.3g} at best; '
                f'a bound of {self.rate:g} needs {_needed(self.rate)} episodes'
            )
        return text


def episode_threshold(scores: Tensor, episode: Tensor, false_alarm_rate: float) -> Calibration:
    """Calibrate a threshold with episodes as units.

    Windows of one episode are alike, so that the split-conformal quantile over windows of few
    episodes keeps its rate on new windows of these episodes, not on new episodes. Here each episode
    gives its own conformal quantile, and the threshold is the conformal quantile of these
    quantiles: of K ascending ones the ceil(0.9 (K + 1))-th, at most the K-th. If episodes are
    exchangeable, a new episode of the same length has a share of windows above the threshold of at
    most `false_alarm_rate` with a chance of that rank over K + 1, whatever the distribution of
    scores within and between episodes. The threshold is never below that over windows.

    Args:
        scores: (sample,) anomaly scores of clean calibration samples.
        episode: (sample,) int, episode of each sample.
        false_alarm_rate: In (0, 1).

    Returns:
        Threshold, and what the episodes support.

    Raises:
        LipfaultError: If there are too few samples for this rate, it is not in (0, 1), or a score
            is not finite.

    Reference:
        Dunn, Wasserman & Ramdas 2018, Distribution-free prediction sets for two-layer hierarchical
        models, https://arxiv.org/abs/1809.07441; Lee, Barber & Willett 2023, Distribution-free
        inference with hierarchical data, https://arxiv.org/abs/2306.06342

    Example:
        >>> found = episode_threshold(torch.arange(200.0), torch.arange(200) // 100, 0.05)
        >>> found.threshold, found.episodes, found.confidence
        (195.0, 2, 0.6666666666666666)
    """
    over_windows = clean_threshold(scores, false_alarm_rate)
    parts = [scores[episode == e] for e in sorted(set(episode.tolist()))]
    quantiles = sorted(_quantile(part, false_alarm_rate) for part in parts)
    count = len(quantiles)
    rank = min(count, _rank(count, 1 - CONFIDENCE))
    return Calibration(
        threshold=max(over_windows, quantiles[rank - 1]),
        rate=false_alarm_rate,
        episodes=count,
        confidence=rank / (count + 1),
        supported_rate=1 / (count + 1),
    )


def _quantile(scores: Tensor, rate: float) -> float:
    """Return the conformal quantile of one episode, its largest score if the episode is short."""
    # No window above the largest score: a share of 0, which keeps any rate.
    rank = min(len(scores), _rank(len(scores), rate))
    return float(torch.sort(scores).values[rank - 1])


def _needed(rate: float) -> int:
    """Return the smallest number of units whose conformal quantile at this rate is finite."""
    return math.ceil(round(1 / rate, 9)) - 1


def _rank(count: int, rate: float) -> int:
    """Return ceil((count + 1)(1 - rate)), where rounding does not lift a whole number."""
    return math.ceil(round((count + 1) * (1 - rate), 9))
