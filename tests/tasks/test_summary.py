"""From one number per window to one per run."""

import math

import pytest
import torch
from torch import nn

from lipfault.tasks.summary import summarize_detection, summarize_faults, summarize_norms

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
        'faulty': torch.tensor([True, True, False]),
        'error_clean': zeros, 'error_uncorrected': ones, 'error_corrected': zeros,
        'error_oracle': zeros, 'energy_injected': ones, 'energy_left': zeros,
        'corrector_fault_gain': zeros, 'corrector_clean_gain': ones,
        'detector_fault_gain': 3 * ones, 'detector_clean_gain': ones,
    }  # fmt: skip
    found = summarize_faults(values)
    assert found['corrector/fault_gain'] == 0
    assert found['corrector/selectivity'] == math.inf
    assert found['detector/selectivity'] == 3
