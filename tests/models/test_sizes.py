"""Sizes derived from shapes, padding, and networks on signals of any length and size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.pca import fit_pca, fit_pca_padded
from lipfault.models.autoencoder.sizes import (
    CoderConfig,
    image_sizes,
    series_sizes,
    sizes_in_words,
)
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Observation, SideInfo
from lipfault.models.blocks.registry import build_block
from lipfault.models.layers.padding import cropped, padded
from lipfault.models.layers.patch_net import patch_of
from lipfault.models.relations.relations import Relations, RelationsConfig


def series(name: str, channels: int) -> Modality:
    labels = tuple(f'c{i}' for i in range(channels))
    ends = (-9.0,) * channels, (9.0,) * channels, (0.1,) * channels
    return Modality(name, 'series', 10.0, labels, ('1',) * channels, *ends)


def image(name: str, channels: int, size: tuple[int, int]) -> Modality:
    labels = tuple(f'c{i}' for i in range(channels))
    ends = (0.0,) * channels, (1.0,) * channels, (0.1,) * channels
    return Modality(name, 'image', 10.0, labels, ('1',) * channels, *ends, size)


@pytest.mark.parametrize(
    ('size', 'patch', 'latent'),
    [((64, 64), 8, 16), ((256, 256), 32, 64), ((120, 160), 16, 32), ((480, 640), 64, 51)],
)
def test_patches_of_an_image_grow_with_it(size, patch, latent):
    found = image_sizes(image('eye', 3, size), CoderConfig())
    assert (found.patch, found.latent) == (patch, latent)


@pytest.mark.parametrize(
    ('channels', 'steps', 'latent', 'patch'),
    [(35, 64, 256, 64), (6, 64, 256, 64), (1, 64, 43, 64), (3, 24, 48, 24), (2, 25, 33, 26)],
)
def test_the_latent_of_a_series_follows_its_own_shape(channels, steps, latent, patch):
    found = series_sizes(series('x', channels), steps, CoderConfig())
    assert (found.latent, found.patch) == (latent, patch)


def test_given_sizes_are_limits():
    config = CoderConfig(series_latent=256, series_patch=64)
    assert series_sizes(series('arm', 35), 64, config).latent == 256
    assert series_sizes(series('load', 1), 64, config).latent == 64
    assert series_sizes(series('arm', 35), 160, config).patch == 54


def test_sizes_are_said_in_one_line_each():
    modalities = {'eye': image('eye', 1, (37, 53)), 'x': series('x', 2)}
    assert sizes_in_words(modalities, {'x': 25}, CoderConfig()) == [
        'eye: 5 x 7 patches of 8 pixels, 3 rows and 3 columns of them padding, 16 latent channels',
        'x: 1 patch of 26 samples, 1 of them padding, 33 latent channels',
    ]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))
def test_cropping_undoes_padding(height, width, patch):
    for signal in (torch.randn(2, 3, height, width), torch.randn(2, 3, width)):
        whole = padded(signal, patch)
        assert all(side % patch == 0 for side in whole.shape[2:])
        assert torch.equal(cropped(whole, signal.shape[2:]), signal)


def test_whole_signals_are_not_copied():
    signal = torch.randn(1, 2, 8)
    assert padded(signal, 4) is signal
    assert cropped(signal, (8,)) is signal


def test_a_pca_of_few_samples_is_filled_with_zeros():
    samples = torch.randn(4, 7)
    found, wanted = fit_pca_padded(samples, 6), fit_pca(samples, 4)
    assert torch.equal(found.components[:4], wanted.components)
    assert not found.components[4:].any()
    torch.testing.assert_close(found.reconstruct(samples), samples, atol=1e-4, rtol=1e-4)


def test_large_frames_have_larger_local_patches():
    sizes = [patch_of(image('eye', 3, (n, 3 * n // 4))) for n in (64, 256, 320, 640)]
    assert sizes == [4, 4, 8, 16]


@pytest.mark.parametrize('kind', ['fault_map', 'posterior'])
@settings(max_examples=6, deadline=None)
@given(st.integers(1, 4), st.tuples(st.integers(1, 21), st.integers(1, 21)), st.integers(2, 37))
def test_networks_take_signals_of_any_shape(kind, channels, size, steps):
    torch.manual_seed(0)
    modalities = {'eye': image('eye', channels, size), 'x': series('x', channels)}
    config = CoderConfig(4, (4, 4, 4), 4, series_width=4)
    autoencoder = Autoencoder(modalities, {'x': steps}, config)
    small = RelationsConfig(width=8, depth=2, channels=4, grid=2, patches=(2,), components=4)
    relations = Relations(autoencoder, modalities, small)
    signals = {'eye': torch.rand(9, channels, *size), 'x': torch.randn(9, channels, steps)}
    for name, signal in signals.items():
        autoencoder.fit_start(name, signal)
    observed = autoencoder.standardized(signals)
    for name, modality in modalities.items():
        relations.fit_start(name, observed[name], autoencoder.noise(name, modality))
    widths = BlockConfig(kind, 8, 8, 4, {'series': 8, 'image': 8})
    block = build_block(widths, autoencoder, lambda: relations, modalities)
    block.fit_start(observed)
    detection, correction = block.eval()(Observation(observed, SideInfo()))
    assert detection.score.isfinite().all()
    for name, signal in signals.items():
        assert correction.signals[name].shape == signal.shape
        assert correction.signals[name].isfinite().all()
        assert correction.maps[name].shape[2:] == signal.shape[2:]
