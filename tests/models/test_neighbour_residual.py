import pytest
import torch

from lipfault.models.relations.neighbour_residual import NeighbourResidual

NOISE = torch.full((3,), 0.01)


def motion(count, steps=64, seed=0):
    """Three channels of one smooth motion, with noise of 0.01."""
    draw = torch.Generator().manual_seed(seed)
    phase = 6.3 * torch.rand(count, 1, 1, generator=draw)
    angle = phase + torch.arange(steps) / 12 + torch.arange(3)[:, None]
    return angle.sin() + 0.01 * torch.randn(count, 3, steps, generator=draw)


@pytest.fixture(scope='module')
def fitted():
    interpolation = NeighbourResidual(3, reach=3)
    interpolation.fit(motion(400), NOISE)
    return interpolation


def test_unit_variance_on_clean_windows(fitted):
    residual = fitted(motion(200, seed=1))[..., 3:-3]
    assert residual.square().mean((0, 2)).tolist() == pytest.approx([1.0] * 3, abs=0.15)


def test_is_the_regression_on_the_neighbours(fitted):
    windows = motion(400).double()
    around = windows.unfold(2, 7, 1)
    target = around[:, 1, :, 3].flatten()
    columns = [around[:, 1, :, k] for k in (0, 1, 2, 4, 5, 6)]
    columns += [around[:, c, :, k] for c in (0, 2) for k in (2, 3, 4)]
    design = torch.stack([c.flatten() for c in columns], dim=1)
    ridge = 0.5 * 0.01**2 * len(target)
    gram = design.T @ design + ridge * torch.eye(design.shape[1], dtype=torch.float64)
    expected = target - design @ torch.linalg.solve(gram, design.T @ target)
    found = fitted(windows)[:, 1, 3:-3].flatten()
    assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.99999


@pytest.mark.parametrize('channel', [0, 2])
def test_a_spike_below_sight_stands_out(fitted, channel):
    windows = motion(50, seed=2)
    windows[:, channel, 30] += 0.1
    residual = fitted(windows).abs()
    assert (residual[..., :].flatten(1).argmax(1) == channel * 64 + 30).float().mean() > 0.9


def test_the_ends_are_silent(fitted):
    residual = fitted(motion(2))
    assert residual.shape == (2, 3, 64)
    assert not residual[..., :3].any()
    assert not residual[..., -3:].any()


def test_knows_nothing_before_it_is_fitted():
    assert not NeighbourResidual(3)(motion(2)).any()
