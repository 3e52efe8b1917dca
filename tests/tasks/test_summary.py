"""From one number per window to one per run."""

import math

import pytest
import torch
from torch import nn

from lipfault.tasks.episode_intervals import summarize_intervals
from lipfault.tasks.summary import (
    summarize_at_rate,
    summarize_detection,
    summarize_faults,
    summarize_norms,
    threshold_at_rate,
    validation_loss,
)

KINDS = ('bias', 'fog', 'stuck')


def test_recall_by_kind_counts_the_faults_of_that_kind_alone():
    values = {
        'score': torch.tensor([3.0, 1.0, 3.0, 3.0, 3.0]),
        'faulty': torch.tensor([True, True, True, True, False]),
        'modality': torch.tensor([0, 0, 0, 0, -1]),
        'predicted_modality': torch.zeros(5, dtype=torch.int64),
        'kind': torch.tensor([0, 0, 0, 2, -1]),
        'damage': torch.tensor([2.0, 0.5, 2.0, 9.0, 0.0]),
    }
    found = summarize_detection(values, 2.0, KINDS)
    assert found['recall_kind_bias'] == torch.tensor(2 / 3)
    assert found['recall_kind_stuck'] == 1.0
    assert not any('fog' in key for key in found)
    assert found['recall'] == 0.75


def test_blocks_are_compared_at_the_false_alarm_rate_of_the_test_windows():
    clean = torch.arange(200.0)
    threshold = threshold_at_rate(clean, 0.01)
    assert threshold == 198.0  # one of the 200 above
    values = {
        'score': torch.tensor([300.0, 198.0, 199.0, 5.0, 199.0]),
        'faulty': torch.tensor([True, True, True, True, False]),
        'modality': torch.tensor([0, 0, 0, 0, -1]),
        'predicted_modality': torch.zeros(5, dtype=torch.int64),
        'damage': torch.tensor([2.0, 0.5, 2.0, 0.2, 0.0]),
    }
    found = summarize_at_rate(values, threshold)
    assert found['recall_at_rate'] == 0.5
    assert found['f1_at_rate'] == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert found['f1_above_noise_at_rate'] == pytest.approx(2 * 2 / (2 * 2 + 1))


def test_without_faults_there_is_no_kind():
    values = {
        'score': torch.tensor([1.0, 3.0]),
        'faulty': torch.tensor([False, False]),
        'modality': torch.tensor([-1, -1]),
        'predicted_modality': torch.zeros(2, dtype=torch.int64),
        'kind': torch.tensor([-1, -1]),
        'damage': torch.zeros(2),
    }
    assert not any('kind' in key for key in summarize_detection(values, 2.0, KINDS))


def test_norms_of_dense_layers_and_of_convolutions_that_were_called():
    called, idle, dense = nn.Conv1d(1, 1, 2), nn.Conv1d(1, 1, 2), nn.Linear(3, 3)
    with torch.no_grad():
        called.weight.fill_(1.0)
        dense.weight.copy_(torch.diag(torch.tensor([1.0, -3.0, 2.0])))
    modules = {
        'corrector': nn.Sequential(called, idle, dense),
        'detector': nn.Sequential(nn.ReLU()),
    }
    found = summarize_norms(modules, {called: (2,)})
    assert found == pytest.approx(
        {
            'norm/corrector/0': 2**0.5,
            'norm/corrector/2': 3.0,
            'norm/corrector': 3 * 2**0.5,
        }
    )


def test_a_corrector_that_removes_every_fault_has_infinite_selectivity():
    ones, zeros = torch.ones(3), torch.zeros(3)
    values = {
        'score': ones,
        'faulty': torch.tensor([True, True, False]), 'kind': torch.tensor([0, 2, -1]),
        'error_clean': zeros, 'error_uncorrected': ones, 'error_corrected': zeros,
        'error_oracle': zeros, 'energy_injected': ones, 'energy_left': zeros,
        'corrector_fault_gain': zeros, 'corrector_clean_gain': ones,
        'detector_fault_gain': 3 * ones, 'detector_clean_gain': ones,
    }  # fmt: skip
    found = summarize_faults(values, KINDS)
    assert found['corrector/fault_gain'] == 0
    assert found['corrector/selectivity'] == math.inf
    assert found['detector/selectivity'] == 3


def energies(injected, left, kind, faulty):
    """Values of samples of which only the energies differ."""
    ones = torch.ones(len(kind))
    same = ('error_clean', 'error_uncorrected', 'error_corrected', 'error_oracle', 'score')
    gains = [f'{m}_{g}_gain' for m in ('corrector', 'detector') for g in ('fault', 'clean')]
    return dict.fromkeys((*same, *gains), ones) | {
        'energy_injected': torch.tensor(injected),
        'energy_left': torch.tensor(left),
        'kind': torch.tensor(kind),
        'faulty': torch.tensor(faulty),
    }


def test_the_headline_counts_kinds_and_not_the_largest_fault():
    injected = [1.0, 2.0, 1000.0, 1.0, 0.0, math.nan]
    left = [0.5, 0.5, 0.0, 3.0, 0.1, math.nan]
    values = energies(injected, left, [0, 0, 0, 2, 2, -1], [True] * 5 + [False])
    found = summarize_faults(values, KINDS, 'unseen')
    # bias: 0.5, 0.25, 0; stuck: 3, and a fault that changed nothing and has no ratio.
    assert found['corrector/energy_left_kind_bias'] == 0.25
    assert found['corrector/energy_left_kind_stuck'] == 3
    assert 'corrector/energy_left_kind_fog' not in found
    assert found['corrector/energy_left_unseen'] == (0.25 + 3) / 2
    assert found['corrector/energy_left_pooled_unseen'] == pytest.approx(4.1 / 1004)
    assert found['corrector/share_worse_unseen'] == pytest.approx(2 / 5)
    assert found['corrector/share_worse_kind_bias'] == 0
    assert found['corrector/share_worse_kind_stuck'] == 1


def test_a_single_kind_cannot_outweigh_the_loss():
    values = energies([1.0] * 4, [0.5, 0.5, 1e6, 1e6], [0, 0, 2, 2], [True] * 4)
    loss = validation_loss({'detection/f1': 0.75}, values)
    assert loss == pytest.approx(0.25 + (0.5 + 2.0) / 2)
    values['faulty'] = torch.zeros(4, dtype=torch.bool)
    assert math.isnan(validation_loss({'detection/f1': 0.75}, values))


def test_intervals_hold_the_metrics_of_the_split():
    generator = torch.Generator().manual_seed(0)
    count, episodes = 400, 8
    episode = torch.arange(count) % episodes
    faulty = torch.rand(count, generator=generator) < 0.5
    injected = torch.rand(count, generator=generator) + 0.1
    score = torch.randn(count, generator=generator) + 2 * faulty + 0.2 * episode
    values = energies(injected.tolist(), (injected / 2).tolist(), [0] * count, faulty.tolist())
    values |= {
        'episode': 10 * episode,
        'score': score,
        'damage': injected,
        'error_clean': 0.1 * injected,
    }
    values |= {'error_uncorrected': injected, 'error_corrected': injected * (0.2 + 0.01 * episode)}
    nothing = torch.zeros(count, dtype=torch.int64)
    values |= {'modality': nothing, 'predicted_modality': nothing}
    found = summarize_intervals(values, 2.0, 'seen')
    metrics = summarize_faults(values, KINDS) | {
        f'detection/{k}': v for k, v in summarize_detection(values, 2.0, KINDS).items()
    }
    keys = {key.removesuffix('_low') for key in found if key.endswith('_low')}
    assert keys == {
        'detection/f1', 'detection/auroc', 'detection/recall', 'detection/false_alarm_rate',
        'recovery/seen', 'corrector/energy_left', 'corrector/energy_left_pooled',
        'corrector/share_worse',
    }  # fmt: skip
    for key in keys:
        assert found[f'{key}_low'] <= metrics[key] + 1e-6, key
        assert metrics[key] <= found[f'{key}_high'] + 1e-6, key
    assert found['detection/auroc_high'] - found['detection/auroc_low'] > 0.01
    assert found == summarize_intervals(values, 2.0, 'seen')
