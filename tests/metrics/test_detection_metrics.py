import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from lipfault.errors import LipfaultError
from lipfault.metrics.detection import clean_threshold, detection_summary


@given(count=st.integers(200, 600), rate=st.sampled_from([0.01, 0.05, 0.2]))
def test_threshold_keeps_its_false_alarm_rate_on_the_calibration_scores(count, rate):
    scores = torch.randn(count, generator=torch.Generator().manual_seed(count))
    alarms = (scores > clean_threshold(scores, rate)).float().mean().item()
    assert rate - 2 / count <= alarms <= rate


def test_threshold_keeps_its_rate_on_new_scores_on_average():
    generator = torch.Generator().manual_seed(1)
    rates = []
    for _ in range(2000):
        scores = torch.rand(120, generator=generator)
        rates.append(1 - clean_threshold(scores[:119], 0.05))
    assert sum(rates) / len(rates) == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize(
    ('scores', 'match'),
    [(torch.randn(98), 'at least 99.*got 98'), (torch.tensor([0.0, float('nan')] * 99), 'finite')],
)
def test_threshold_refuses(scores, match):
    with pytest.raises(LipfaultError, match=match):
        clean_threshold(scores, 0.01)


@pytest.mark.parametrize('rate', [0.0, 1.0])
def test_a_rate_that_no_threshold_has_is_refused(rate):
    with pytest.raises(LipfaultError, match='above 0 and below 1'):
        clean_threshold(torch.randn(200), rate)


def test_summary_by_hand():
    summary = detection_summary(
        torch.tensor([0.1, 0.9, 0.8, 0.2, 0.7]),
        torch.tensor([False, False, True, True, True]),
        torch.tensor([-1, -1, 0, 1, 1]),
        torch.tensor([0, 0, 0, 1, 0]),
        0.5,
    )
    assert summary['recall'] == pytest.approx(2 / 3)
    assert summary['false_alarm_rate'] == pytest.approx(1 / 2)
    assert summary['f1'] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert summary['localization_accuracy'] == pytest.approx(1 / 2)
    # Probabilities of the samples; those of one bin of 1 / 15 are averaged.
    bins = [([0.525], [0]), ([0.5498], [1]), ([0.6682], [1]), ([0.6900], [1]), ([0.7109], [0])]
    merged = {}
    for (p,), (y,) in bins:
        merged.setdefault(int(p * 15), []).append(p - y)
    wanted = sum(abs(sum(gaps)) for gaps in merged.values()) / 5
    assert summary['calibration_error'] == pytest.approx(wanted, abs=1e-3)


@given(seed=st.integers(0, 50))
def test_auroc_is_the_rank_statistic_even_for_huge_logits(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 100 * torch.randn(60, generator=generator).round(decimals=1)
    faulty = torch.rand(60, generator=generator) < 0.4
    nobody = torch.full((60,), -1)
    ranks = rankdata(scores.numpy())
    n, m = int(faulty.sum()), int((~faulty).sum())
    wanted = (ranks[faulty.numpy()].sum() - n * (n + 1) / 2) / (n * m)
    found = detection_summary(scores, faulty, nobody, nobody, 0.0)['auroc']
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize('faulty', [True, False])
def test_a_missing_class_gives_nan(faulty):
    rows = torch.full((5,), faulty)
    summary = detection_summary(torch.randn(5), rows, rows.int(), rows.int(), 0.0)
    assert math.isnan(summary['auroc'])
    assert math.isnan(summary['calibration_error'])
