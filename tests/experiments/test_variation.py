"""Spectrum and statistics of signals with known covariance."""

import pytest
import torch

from experiments.data_variation.experiment import components, describe, spectrum


@pytest.mark.parametrize('shape', [(300, 20), (30, 200)], ids=['many', 'few'])
def test_spectrum_is_that_of_the_covariance(shape):
    samples = torch.randn(shape, dtype=torch.float64) * torch.linspace(3, 0.1, shape[1])
    variances = spectrum(samples.float())
    exact = torch.linalg.eigvalsh(torch.cov(samples.T)).flip(0)[: len(variances)]
    torch.testing.assert_close(variances, exact.clamp_min(0), atol=1e-4, rtol=1e-4)


def test_components_for_a_share():
    variances = torch.tensor([6.0, 3.0, 1.0], dtype=torch.float64)
    assert [components(variances, s) for s in (0.5, 0.6, 0.61, 0.95)] == [1, 1, 2, 3]


def test_a_constant_series_and_two_directions(tiny_modalities):
    torch.manual_seed(0)
    factors = torch.randn(2, 2, 64)
    signals = torch.einsum('nk,kct->nct', torch.randn(500, 2), factors)
    statistics, shares = describe(signals, tiny_modalities['force'])
    assert statistics['components for 0.999'] == 2
    assert statistics['effective dimension'] <= 2 + 1e-6
    assert float(shares.sum()) == pytest.approx(1)
    still = torch.randn(500, 2, 1).expand(-1, -1, 64)
    statistics, _ = describe(still, tiny_modalities['force'])
    assert statistics['within-window variance / variance'] == pytest.approx(0, abs=1e-6)
    assert statistics['standard deviation / sensor noise, median channel'] == pytest.approx(
        1 / 0.2, rel=0.1
    )
