import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipfault.metrics.recovery import (
    energy_left,
    energy_left_by_kind,
    energy_left_pooled,
    error_per_sample,
    recovery,
    relative_change,
    share_worse,
    skill,
)


@pytest.mark.parametrize(
    ('corrected', 'wanted'), [(1.0, 1.0), (5.0, 0.0), (2.0, 0.75), (9.0, -1.0)]
)
def test_recovery(corrected, wanted):
    ones = torch.ones(4)
    assert recovery(ones, 5 * ones, corrected * ones) == pytest.approx(wanted)


def test_pooled_energy_left_is_dominated_by_large_faults():
    found = energy_left_pooled(torch.tensor([1.0, 99.0]), torch.tensor([1.0, 0.0]))
    assert found == pytest.approx(0.01)


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_energy_left_ignores_size_and_number_of_faults(factor, seed):
    generator = torch.Generator().manual_seed(seed)
    injected, left = torch.rand(2, 12, generator=generator, dtype=torch.float64) + 0.1
    kind = torch.tensor([0, 0, 0, 1, 1, 4, 4, 4, 4, 4, 4, 4])
    found = energy_left(injected, left, kind)
    assert energy_left(factor * injected, factor * left, kind) == pytest.approx(found)
    # The faults of one kind twice: its median is the same, and it counts once.
    twice = torch.cat([torch.arange(12), torch.arange(3)])
    assert energy_left(injected[twice], left[twice], kind[twice]) == pytest.approx(found)
    groups = [(left / injected)[kind == k].numpy() for k in (0, 1, 4)]
    assert found == pytest.approx(np.mean([np.median(group) for group in groups]))


def test_faults_that_change_nothing_have_no_energy_left():
    injected, left = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    kind = torch.tensor([0, 0, 1])
    assert energy_left_by_kind(injected, left, kind) == {1: 0.5}
    assert energy_left(injected, left, kind) == 0.5
    assert math.isnan(energy_left(injected[:2], left[:2], kind[:2]))
    assert share_worse(injected, left) == pytest.approx(1 / 3)


def test_a_bound_applies_to_each_kind():
    injected, left = torch.ones(2), torch.tensor([9.0, 1.0])
    assert energy_left(injected, left, torch.tensor([0, 1]), most=2.0) == 1.5


def test_skill_of_the_mean_is_zero():
    assert skill(torch.ones(3), torch.ones(3)) == 0


def test_error_per_sample():
    estimate = torch.zeros(2, 3, 4)
    truth = torch.stack([torch.ones(3, 4), 2 * torch.ones(3, 4)])
    assert error_per_sample(estimate, truth).tolist() == [1, 4]


def test_relative_change():
    assert relative_change(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 3.0])) == pytest.approx(
        0.25
    )
