"""The Gaussian window model and the posterior mean against dense matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.models.blocks.posterior.evidence import evidence
from lipfault.models.blocks.posterior.posterior_mean import posterior_mean
from lipfault.models.relations.window_gaussian import WindowGaussian

CHANNELS, STEPS, SIZE = 3, 16, 5


def fitted(seed=0, windows=200):
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(windows, 4, generator=generator)
    mixing = torch.randn(4, CHANNELS * STEPS, generator=generator)
    noise = 0.1 * torch.randn(windows, CHANNELS * STEPS, generator=generator)
    series = (factors @ mixing + noise).view(windows, CHANNELS, STEPS)
    model = WindowGaussian(CHANNELS, STEPS, SIZE)
    model.fit(series, torch.full((CHANNELS,), 0.05))
    return model, series


def dense(model, variance):
    """Covariance of one observed window, (entries, entries), and the fault's part of it."""
    basis = model.basis.double()
    residual = model.residual.double().repeat_interleave(STEPS)
    fault = variance.double().flatten().repeat_interleave(model.chunk)
    return basis @ basis.T + torch.diag(residual) + torch.diag(fault), torch.diag(fault)


def variances(seed, scale=1.0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.rand(batch, CHANNELS, STEPS // 8, generator=generator)
    return scale * sizes * (sizes > 0.5)


def test_covariance_is_that_of_the_windows():
    model, series = fitted(windows=5000)
    covariance, _ = dense(model, torch.zeros(CHANNELS, STEPS // 8))
    measured = torch.cov(series.flatten(1).T.double())
    assert (covariance - measured).abs().max() < 0.05 * measured.diagonal().max()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.01, 1.0, 1e4]))
def test_posterior_mean_is_that_of_the_dense_formula(seed, scale):
    model, series = fitted()
    signal, variance = series[:2] + 0.3, variances(seed, scale)
    corrected, residual, _, _ = posterior_mean(model, signal, variance, training=False)
    for row in range(2):
        covariance, fault = dense(model, variance[row])
        deviation = (signal[row].flatten() - model.mean).double()
        solved = torch.linalg.solve(covariance, deviation)
        expected = signal[row].flatten().double() - fault @ solved
        torch.testing.assert_close(
            corrected[row].flatten().double(), expected, atol=2e-3, rtol=1e-3
        )
        torch.testing.assert_close(residual[row].flatten().double(), solved, atol=2e-2, rtol=1e-3)


def test_nothing_faulty_leaves_the_window_bit_by_bit():
    model, series = fitted()
    zero = torch.zeros(4, CHANNELS, STEPS // 8)
    assert torch.equal(posterior_mean(model, series[:4], zero, training=False)[0], series[:4])


def test_a_value_of_infinite_variance_has_no_influence():
    model, series = fitted()
    variance = torch.zeros(2, CHANNELS, STEPS // 8)
    variance[:, 1] = 1e9
    other = series[:2].clone()
    other[:, 1] += torch.randn(2, STEPS)
    one = posterior_mean(model, series[:2], variance, training=False)[0]
    two = posterior_mean(model, other, variance, training=False)[0]
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


def test_gradients_are_those_of_automatic_differentiation():
    model, series = fitted()
    gradients = []
    for training in (True, False):
        signal = series[:2].clone().requires_grad_()
        variance = (variances(3) + 0.01).requires_grad_()
        out = posterior_mean(model, signal, variance, training)[0]
        (out * torch.linspace(-1, 1, STEPS)).sum().backward()
        gradients.append((signal.grad, variance.grad))
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)


def test_evidence_is_that_of_the_dense_precision():
    model, series = fitted()
    variance = variances(5)
    factor = model.factor(variance)
    residual, _ = model.solve(factor, model.deviation(series[:2]))
    found = evidence(model, factor, residual)
    for row in range(2):
        precision = torch.linalg.inv(dense(model, variance[row])[0])
        solved = precision @ (series[row].flatten() - model.mean).double()
        for channel in range(CHANNELS):
            chunks = torch.zeros(CHANNELS * STEPS, STEPS // 8, dtype=torch.float64)
            for chunk in range(STEPS // 8):
                start = channel * STEPS + 8 * chunk
                chunks[start : start + 8, chunk] = 1
                part = slice(start, start + 8)
                ratio = solved[part].square().mean() / precision.diagonal()[part].mean()
                assert float(found.ratio[row, channel, chunk]) == pytest.approx(
                    float(ratio), rel=1e-2, abs=1e-4
                )
            among, total = chunks.T @ precision @ chunks, chunks.T @ solved
            offset = torch.linalg.solve(among, total)
            torch.testing.assert_close(
                found.offset[row, channel].double(), offset, atol=5e-3, rtol=2e-2
            )


def test_tables_follow_loaded_weights():
    model, series = fitted()
    other = WindowGaussian(CHANNELS, STEPS, SIZE)
    other.load_state_dict(model.state_dict())
    for variance in (variances(1), variances(2, 100.0)):
        one = posterior_mean(model, series[:2], variance, training=False)[0]
        assert torch.equal(one, posterior_mean(other, series[:2], variance, training=False)[0])


def test_few_windows_give_few_components():
    model, _ = fitted(windows=3)
    assert bool((model.basis[:, 2:] == 0).all())
    assert bool(torch.isfinite(model.residual).all())
