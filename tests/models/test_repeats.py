"""Evidence of repeated values of a series."""

import pytest
import torch

from lipfault.models.blocks.fault_map.repeats import RepeatedValues

STEP = torch.tensor([0.01, 0.5])


def test_a_frozen_channel_has_a_share_of_one_and_a_live_one_next_to_none():
    series = torch.randn(50, 2, 40)
    series[:, 0] = 0.3
    share = RepeatedValues(STEP * 0.01).share(series)
    assert torch.equal(share[:, 0], torch.ones(50))
    assert share[:, 1].max() < 0.2


def test_a_change_by_one_step_hardly_counts():
    series = (torch.arange(6) * STEP[0]).expand(1, 2, 6).clone()
    series[:, 1] = torch.arange(6) * STEP[1]
    torch.testing.assert_close(
        RepeatedValues(STEP).share(series), torch.full((1, 2), -3.0).exp(), atol=1e-4, rtol=0
    )


def test_only_repeats_beyond_those_of_clean_windows_are_evidence():
    torch.manual_seed(0)
    repeats = RepeatedValues(torch.tensor([1.0]))
    coarse = torch.randn(400, 1, 24).round()  # two in five values repeat the one before
    is_clean = torch.ones(400, dtype=torch.bool)
    repeats(coarse, is_clean)
    clean, frozen = repeats(coarse)[:, 0], repeats(torch.zeros(1, 1, 24))[0, 0]
    assert clean.mean().item() == pytest.approx(0, abs=0.1)
    assert clean.std().item() == pytest.approx(1, abs=0.1)
    assert frozen > 4


def test_a_single_sample_repeats_nothing():
    assert torch.equal(RepeatedValues(STEP).share(torch.zeros(3, 2, 1)), torch.zeros(3, 2))


def test_only_scores_far_beyond_clean_windows_are_added_to_the_logit():
    features = torch.tensor([[5.9, 9.0, 1.0, 5.0, 9.0], [30.0, 0.0, 1.0, 7.0, 0.0]])
    features = torch.cat([features, torch.tensor([[0.0, 0.0, 0.0, 8.0, 0.0]])])
    assert RepeatedValues.logit(features).tolist() == [[0.0], [72.0], [6.0]]


def test_a_mean_or_a_spread_beyond_those_of_clean_windows_is_evidence():
    torch.manual_seed(0)
    repeats, clean = RepeatedValues(STEP), torch.randn(400, 2, 24)
    repeats(clean, torch.ones(400, dtype=torch.bool))
    shifted, wider = clean.clone(), clean.clone()
    shifted[:, 1] += 4
    wider[:, 0] *= 20
    assert repeats(shifted)[:, 3].min() > 10 > repeats(clean)[:, 3].max()
    assert repeats(wider)[:, 4].min() > 10 > repeats(clean)[:, 4].max()
