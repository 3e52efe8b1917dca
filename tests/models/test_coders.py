import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.operators import require_own_norm
from lipfault.models.autoencoder.coders import ImageCoder, SeriesCoder
from lipfault.models.autoencoder.patch_conv import (
    ImagePatchConv,
    ImagePatchConvTranspose,
    PatchConv1d,
    PatchConvTranspose1d,
)
from lipfault.models.autoencoder.pca import fit_pca
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.autoencoder.standardize import Standardize


@pytest.mark.parametrize('patch', [2, 4, 16])
def test_patch_convolutions_are_convolutions(patch):
    series, latent = torch.randn(3, 5, 48), torch.randn(3, 7, 48 // patch)
    forth, back = PatchConv1d(5, 7, patch), PatchConvTranspose1d(7, 5, patch)
    torch.testing.assert_close(forth(series), nn.Conv1d.forward(forth, series))
    torch.testing.assert_close(back(latent), nn.ConvTranspose1d.forward(back, latent))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_patch_convolutions_of_images_are_convolutions(layout):
    images, latent = torch.randn(3, 5, 8, 12), torch.randn(3, 7, 2, 3)
    images, latent = (x.to(memory_format=layout) for x in (images, latent))
    forth, back = ImagePatchConv(5, 7, 4), ImagePatchConvTranspose(7, 5, 4)
    torch.testing.assert_close(forth(images), nn.Conv2d.forward(forth, images))
    torch.testing.assert_close(back(latent), nn.ConvTranspose2d.forward(back, latent))


def test_series_coder_starts_as_the_patch_pca():
    series = torch.randn(40, 3, 32).cumsum(dim=2) + torch.arange(8).repeat(4)  # a mean by place
    coder = SeriesCoder(3, 32, latent_channels=6, patch=8)
    coder.start_from_pca(series)
    patches = series.unflatten(2, (4, 8)).permute(0, 2, 1, 3).reshape(-1, 24)
    wanted = fit_pca(patches, 6)
    found = coder.decode(coder.encode(series))
    rebuilt = found.unflatten(2, (4, 8)).permute(0, 2, 1, 3).reshape(-1, 24)
    torch.testing.assert_close(rebuilt, wanted.reconstruct(patches), atol=1e-3, rtol=1e-3)


def test_image_coder_starts_as_the_patch_pca():
    images = torch.randn(60, 2, 8, 8)
    coder = ImageCoder(2, (8, 8), latent_channels=32, widths=(4, 8))
    coder.start_from_pca(images)
    torch.testing.assert_close(coder.decode(coder.encode(images)), images, atol=0.2, rtol=0)


@pytest.mark.parametrize('place', [0, 3, 7])
def test_series_fault_changes_only_latent_positions_that_see_it(place):
    coder = SeriesCoder(2, 64, latent_channels=3, patch=8)
    nn.init.normal_(coder.encoder[-1].weight)
    series = torch.randn(4, 2, 64)
    faulty = series.clone()
    faulty[:, 1, 8 * place + 4] += 5
    moved = (coder.encode(faulty) - coder.encode(series)).abs().amax(dim=(0, 1)) > 0
    # Kernel of the first layer: half a patch beyond; of the second: one position beyond.
    positions = torch.arange(8)
    assert not moved[(positions - place).abs() > 2].any()
    assert moved[place]


def test_image_fault_changes_only_latent_positions_that_see_it():
    coder = ImageCoder(3, (64, 64), latent_channels=4, widths=(6, 6, 6))
    nn.init.normal_(coder.encoder[-1].weight)
    images = torch.randn(2, 3, 64, 64)
    faulty = images.clone()
    faulty[:, :, 20, 28] += 5
    moved = (coder.encode(faulty) - coder.encode(images)).abs().amax(dim=(0, 1)) > 0
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing='ij')
    near = ((rows - 2).abs() <= 2) & ((columns - 3).abs() <= 2)
    assert not moved[~near].any()
    assert moved[2, 3]


def test_standardize_inverts_and_gives_unit_variance(tiny_modalities):
    for modality in tiny_modalities.values():
        places = modality.size or (32,)
        signals = 3 + 2 * torch.randn(50, len(modality.channels), *places)
        standardize = Standardize(modality)
        standardize.fit(signals)
        out = standardize(signals)
        torch.testing.assert_close(standardize.inverse(out), signals, atol=1e-4, rtol=1e-4)
        assert out.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_resting_channel_is_scaled_by_its_noise(tiny_modalities):
    joints = tiny_modalities['joints']
    standardize = Standardize(joints)
    standardize.fit(torch.zeros(10, 4, 32))
    torch.testing.assert_close(standardize.scale[:, 0], torch.tensor(joints.noise))


@pytest.mark.parametrize('patch', [1, 5])
def test_a_patch_that_is_not_even_is_named(patch):
    with pytest.raises(LipfaultError, match=f'series_patch must be an even .* got {patch}'):
        CoderConfig(image_widths=(8, 8), series_patch=patch)


@pytest.mark.parametrize(
    ('layer', 'shape'),
    [
        (PatchConv1d(3, 5, 4), (2, 3, 16)),
        (PatchConvTranspose1d(5, 3, 4), (2, 5, 4)),
        (ImagePatchConv(3, 5, 4), (2, 3, 8, 12)),
        (ImagePatchConvTranspose(5, 3, 4), (2, 5, 2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_declared_as_the_same_map_is_it(layer, shape):
    layer = layer.double()
    require_own_norm(layer)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), type(layer).__mro__[1].forward(layer, x))
