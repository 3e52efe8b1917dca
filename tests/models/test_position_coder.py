import pytest
import torch

from lipfault.models.autoencoder.coders import ImageCoder
from lipfault.models.autoencoder.pca import fit_pca
from lipfault.models.autoencoder.position_coder import PositionCoder


def images(count=40, seed=0):
    """A machine moves in the upper left quarter; the rest of the picture never changes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, 2, 16, 16)
    x[:, :, :8, :8] = torch.randn(count, 2, 8, 8, generator=generator)
    x[:, :, :8, 8:] = 0.01 * torch.randn(count, 2, 8, 8, generator=generator)
    return x - x.mean(dim=0)


def test_the_latent_goes_where_the_variance_is():
    coder = PositionCoder(2, (2, 2), 8, latent_channels=12, kept=12)
    coder.start_from_pca(images())
    assert coder.active.sum() == 12
    assert coder.active[:, 0, 0].all()


def test_every_place_is_as_good_as_a_pca_of_its_own():
    x, new = images(), images(seed=1)
    coder = PositionCoder(2, (2, 2), 8, latent_channels=12, kept=12)
    coder.start_from_pca(x)
    patches, others = (i[:, :, :8, :8].flatten(1) for i in (x, new))
    exact = fit_pca(patches, 12).reconstruct(others)
    found = coder.decode(coder.encode(new))[:, :, :8, :8].flatten(1)
    assert torch.allclose(found, exact, atol=1e-4)


def test_numbers_kept_have_unit_variance_and_their_importance_is_the_variance_of_the_signal():
    x = images()
    coder = PositionCoder(2, (2, 2), 8, latent_channels=12, kept=12)
    coder.start_from_pca(x)
    variance = coder.encode(x).square().mean(dim=0)
    assert torch.allclose(variance[coder.active.bool()], torch.ones(12), atol=1e-3)
    explained = coder.decode(coder.encode(x)).square().sum(dim=(1, 2, 3)).mean()
    assert coder.importance().sum().item() == pytest.approx(explained.item(), rel=1e-3)


def test_a_fault_stays_in_its_place():
    coder = ImageCoder(2, (16, 16), 12, widths=(4, 6, 8), kept=20)
    x = images(200)
    coder.start_from_pca(x)
    changed = x[:1].clone()
    changed[:, :, 9, 9] += 5
    difference = coder.linear.encode(changed) - coder.linear.encode(x[:1])
    assert difference[:, :, 0].abs().max() == 0
    assert difference[:, :, :, 0].abs().max() == 0


def test_what_is_not_kept_stays_zero_in_training_and_survives_a_checkpoint():
    coder = ImageCoder(2, (16, 16), 12, widths=(4, 6, 8), kept=20)
    coder.start_from_pca(images(200))
    optimizer = torch.optim.SGD(coder.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        x = images(8, seed=3)
        (coder.decode(coder.encode(x)) - x).square().mean().backward()
        optimizer.step()
    latent = coder.encode(images(8, seed=4))
    assert coder.latent_size == 20
    assert latent[:, coder.linear.active == 0].abs().max() == 0
    other = ImageCoder(2, (16, 16), 12, widths=(4, 6, 8), kept=20)
    other.load_state_dict(coder.state_dict())
    assert torch.equal(other.encode(images(4)), coder.encode(images(4)))
