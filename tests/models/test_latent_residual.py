import pytest
import torch

from lipfault.models.blocks.fault_map.latent_residual import LatentResidual

SHAPE = (3, 4)


def pairs(count: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents, and predictions that miss them by some noise."""
    predicted = torch.randn(count, *SHAPE)
    return predicted + noise * torch.randn(count, *SHAPE), predicted


def fitted(latents: torch.Tensor, predicted: torch.Tensor) -> LatentResidual:
    contradiction = LatentResidual(SHAPE, size=8)
    contradiction.fit(latents, predicted, torch.tensor([1.0, 2.0, 0.5])[:, None].expand(SHAPE))
    return contradiction


def test_has_unit_covariance_on_clean_windows():
    contradiction = fitted(*pairs(4000))
    whitened = contradiction(*pairs(4000))
    torch.testing.assert_close(
        whitened.T @ whitened / len(whitened), torch.eye(8), atol=0.15, rtol=0
    )


def test_a_wrong_latent_stands_out():
    contradiction = fitted(*pairs(2000))
    latents, predicted = pairs(200)
    calm = contradiction(latents, predicted).square().sum(dim=1)
    wrong = contradiction(latents.roll(1, 0), predicted).square().sum(dim=1)
    assert (wrong > calm.quantile(0.99)).float().mean() > 0.99


@pytest.mark.parametrize(('noise', 'wanted'), [(0.1, 1.0), (None, 0.0)])
def test_a_prediction_counts_as_far_as_it_can_be_trusted(noise, wanted):
    latents, predicted = pairs(4000, noise or 0.0)
    if noise is None:
        predicted = torch.randn_like(predicted)
    gain = fitted(latents, predicted).gain
    torch.testing.assert_close(gain, torch.full_like(gain, wanted), atol=0.06, rtol=0)


def test_works_with_fewer_windows_than_components():
    latents, predicted = pairs(5)
    assert torch.isfinite(fitted(latents, predicted)(latents, predicted)).all()


def test_numbers_that_do_nothing_to_the_signal_are_left_out():
    latents, predicted = pairs(400)
    importance = torch.zeros(SHAPE)
    importance[0, 1] = importance[2, 3] = 1.0
    contradiction = LatentResidual(SHAPE, size=8)
    contradiction.fit(latents, predicted, importance)
    assert (contradiction.projection.abs().sum(dim=0) > 0).equal((importance > 0).flatten())
    spread = contradiction(latents, predicted).square().mean(dim=0)
    torch.testing.assert_close(spread[:2], torch.ones(2), atol=0.05, rtol=0)
