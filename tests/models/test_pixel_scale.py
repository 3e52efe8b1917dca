import torch

from lipfault.models.blocks.fault_map.pixel_scale import PixelScale


def test_residuals_are_compared_with_what_is_usual_at_their_pixel():
    usual = 0.1 + torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    clean = usual * torch.randn(2000, 2, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    scale = PixelScale(2, 1, (4, 5))
    scale.fit((part.unbind(1) for part in clean.split(300)), torch.tensor([1e-6]))
    scaled = torch.stack(scale(clean.unbind(1)), dim=1)
    assert torch.allclose(scaled.square().mean(dim=0), torch.ones(2, 1, 4, 5), atol=1e-4)
    assert torch.allclose(scale.scale, usual, rtol=0.1)


def test_nothing_is_divided_by_less_than_the_sensor_noise():
    scale = PixelScale(1, 2, (3, 3))
    scale.fit([[torch.zeros(5, 2, 3, 3)]], torch.tensor([0.5, 2.0]))
    residual = torch.ones(1, 2, 3, 3)
    assert torch.equal(scale([residual])[0], residual / torch.tensor([0.5, 2.0])[:, None, None])
