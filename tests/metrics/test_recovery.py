import pytest
import torch

from lipfault.metrics.recovery import (
    energy_left,
    error_per_sample,
    recovery,
    relative_change,
    skill,
)


@pytest.mark.parametrize(
    ('corrected', 'wanted'), [(1.0, 1.0), (5.0, 0.0), (2.0, 0.75), (9.0, -1.0)]
)
def test_recovery(corrected, wanted):
    ones = torch.ones(4)
    assert recovery(ones, 5 * ones, corrected * ones) == pytest.approx(wanted)


def test_energy_left_is_dominated_by_large_faults():
    assert energy_left(torch.tensor([1.0, 99.0]), torch.tensor([1.0, 0.0])) == pytest.approx(0.01)


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
