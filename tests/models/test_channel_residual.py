import torch

from lipfault.models.relations.channel_residual import ChannelResidual


def related(count: int) -> torch.Tensor:
    """Three channels of 16 steps: a swing, twice the swing, and one of its own, with noise."""
    phase = 6.28 * torch.rand(count, 1)
    swing = torch.sin(phase + torch.arange(16) / 5)
    own = torch.cos(6.28 * torch.rand(count, 1) + torch.arange(16) / 3)
    return torch.stack([swing, 2 * swing, own], dim=1) + 0.01 * torch.randn(count, 3, 16)


def fitted() -> ChannelResidual:
    consistency = ChannelResidual(3, 16, patch=4)
    consistency.fit(related(4000), torch.full((3,), 0.01))
    return consistency


def test_clean_windows_have_unit_variance_at_most():
    residual = fitted()(related(2000))
    assert residual.shape == (2000, 3, 16)
    assert residual.square().mean() < 1.2


def test_a_contradiction_stands_out_where_a_related_channel_tells():
    consistency, clean = fitted(), related(200)
    faulty = clean.clone()
    faulty[:, 1] += 0.1  # a twentieth of what the channel moves, ten times its noise
    energy = consistency(faulty).square().mean(dim=2)
    calm = consistency(clean).square().mean(dim=2)
    assert (energy[:, 1] > 20 * calm[:, 1].mean()).float().mean() > 0.95
    torch.testing.assert_close(energy[:, 2], calm[:, 2], rtol=0.5, atol=0.5)


def test_equals_the_conditional_gaussian():
    consistency, windows = fitted(), related(50)
    pooled = windows.double().unflatten(2, (4, 4)).mean(dim=3).flatten(1)
    train = related(4000).double().unflatten(2, (4, 4)).mean(dim=3).flatten(1)
    mean = consistency.mean
    # Whitened by F^-1 of L = F F^T: its own block is F^T, which takes the residual to the whitened.
    whitened = (pooled - mean) @ consistency.whitener[:4].T
    residual = torch.linalg.solve(consistency.whitener[:4, :4], whitened.T).T
    covariance = torch.cov(train.T) + torch.eye(12).double() * 0.01**2 / 8
    weights = torch.linalg.solve(covariance[4:, 4:], covariance[4:, :4])
    wanted = (pooled - mean)[:, :4] - (pooled - mean)[:, 4:] @ weights
    assert torch.corrcoef(torch.stack([residual.flatten(), wanted.flatten()]))[0, 1] > 0.99
