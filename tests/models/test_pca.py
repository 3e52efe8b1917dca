import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.pca import fit_pca


@settings(max_examples=25, deadline=None)
@given(count=st.integers(5, 30), features=st.integers(3, 40), seed=st.integers(0, 99))
def test_equals_truncated_svd(count, features, seed):
    torch.manual_seed(seed)
    samples = torch.randn(count, features)
    size = min(count, features) // 2
    mean = samples.mean(dim=0)
    u, s, v = torch.linalg.svd(samples - mean, full_matrices=False)
    best = (u[:, :size] * s[:size]) @ v[:size] + mean
    torch.testing.assert_close(fit_pca(samples, size).reconstruct(samples), best, atol=2e-3, rtol=0)


@pytest.mark.parametrize('shape', [(8, 20), (20, 8)])
def test_components_are_orthonormal(shape):
    components = fit_pca(torch.randn(*shape), 5).components
    torch.testing.assert_close(components @ components.T, torch.eye(5), atol=1e-4, rtol=0)


def test_components_are_orthonormal_for_rank_deficient_samples():
    samples = torch.randn(6, 2) @ torch.randn(2, 30)
    pca = fit_pca(samples, 5)
    torch.testing.assert_close(pca.components @ pca.components.T, torch.eye(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(pca.reconstruct(samples), samples, atol=1e-3, rtol=0)


def test_refuses_more_components_than_samples():
    with pytest.raises(LipfaultError, match=r'7 components.*5 samples'):
        fit_pca(torch.randn(5, 20), 7)


def test_subspace_iteration_explains_as_much_as_the_exact_components():
    generator = torch.Generator().manual_seed(0)
    spread = torch.arange(1, 601).float() ** -0.7  # a spectrum as slow as that of images
    samples = torch.randn(500, 600, generator=generator) * spread
    pca = fit_pca(samples, 100)
    centered = samples - samples.mean(dim=0)
    exact = torch.linalg.svdvals(centered.double()).square()
    left = (samples - pca.reconstruct(samples)).double().square().sum()
    assert left / exact[100:].sum() == pytest.approx(1, abs=2e-5)
    torch.testing.assert_close(pca.components @ pca.components.T, torch.eye(100), atol=1e-5, rtol=0)
