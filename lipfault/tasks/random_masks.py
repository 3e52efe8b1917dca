"""Masks of the corrector in training: true fault maps, and random parts of clean samples."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.faults.draws import Draws
from lipfault.modality import Signals


def training_masks(
    kinds: Mapping[str, str], signals: Signals, true_masks: Signals, faulty: Tensor, draws: Draws
) -> Signals:
    """Mask the true fault map of faulty samples, and random parts of clean ones.

    In a clean sample one modality is drawn; of a series a random set of channels is masked (all of
    them one time in eight), of an image everything or a random rectangle.

    Args:
        kinds: Kind of each modality, `series` or `image`.
        signals: Standardized signals, for the shapes.
        true_masks: True fault maps, broadcastable to the fault maps.
        faulty: (batch,) bool.
        draws: Random numbers, one key per sample.

    Returns:
        For each modality a map of zeros and ones, shaped as its fault map.

    Reference:
        Random masks as a training signal: He et al. 2022, *Masked Autoencoders*,
        https://arxiv.org/abs/2111.06377.
    """
    chosen = draws.integers('modality', 0, len(signals) - 1)
    masked = {}
    for index, (name, signal) in enumerate(signals.items()):
        make = _some_channels if kinds[name] == 'series' else _some_pixels
        random = make(draws.stream(name), signal) * (chosen == index).view(
            -1, 1, *[1] * (signal.dim() - 2)
        )
        truth = true_masks[name].expand_as(random).to(random.dtype)
        masked[name] = torch.where(faulty.view(-1, *[1] * (signal.dim() - 1)), truth, random)
    return masked


def _some_channels(draws: Draws, signal: Tensor) -> Tensor:
    """(batch, channel, time): each channel masked with a probability drawn for the sample."""
    share = 0.6 * draws.uniform('share')[:, None]
    masked = draws.uniform('channel', (signal.shape[1],)) < share
    masked = masked | (draws.uniform('all') < 0.125)[:, None]
    return masked[:, :, None].expand(-1, -1, signal.shape[2]).float()


def _some_pixels(draws: Draws, image: Tensor) -> Tensor:
    """(batch, 1, height, width): everything, or a rectangle."""
    edges = draws.uniform('rectangle', (2, 2)).sort(dim=2).values
    inside = []
    for axis, length in enumerate(image.shape[2:]):
        centre = (torch.arange(length, device=image.device) + 0.5) / length
        inside.append((centre >= edges[:, axis, :1]) & (centre <= edges[:, axis, 1:]))
    rectangle = inside[0][:, :, None] & inside[1][:, None, :]
    everything = (draws.uniform('all') < 0.5)[:, None, None]
    return (rectangle | everything)[:, None].float()
