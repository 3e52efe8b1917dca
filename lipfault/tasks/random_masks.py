"""What is hidden from the corrector in training, so that it learns to infer."""

import torch
from torch import Tensor

from lipfault.batch import Signals
from lipfault.faults.draws import Draws
from lipfault.models.blocks.base import ComputeBlock


def training_hiding(
    block: ComputeBlock, signals: Signals, masks: Signals, faulty: Tensor, draws: Draws
) -> Signals:
    """Hide the true place of the fault in faulty samples, and random parts in clean ones.

    In a clean sample one modality is drawn; of a series a random set of channels is hidden (all of
    them one time in eight), of an image everything or a random rectangle.

    Args:
        block: Knows the kind of each modality.
        signals: Standardized signals, for the shapes.
        masks: True fault masks, broadcastable to the fault maps.
        faulty: (batch,) bool.
        draws: One key per sample.

    Returns:
        For each modality a map of zeros and ones, shaped as its fault map.
    """
    chosen = draws.integers('modality', 0, len(signals) - 1)
    hidden = {}
    for index, (name, signal) in enumerate(signals.items()):
        make = _some_channels if block.kinds[name] == 'series' else _some_places
        random = make(draws.stream(name), signal) * (chosen == index).view(
            -1, 1, *[1] * (signal.dim() - 2)
        )
        truth = masks[name].expand_as(random).to(random.dtype)
        hidden[name] = torch.where(faulty.view(-1, *[1] * (signal.dim() - 1)), truth, random)
    return hidden


def _some_channels(draws: Draws, signal: Tensor) -> Tensor:
    """(batch, channel, time): each channel hidden with a chance drawn for the sample."""
    share = 0.6 * draws.uniform('share')[:, None]
    hidden = draws.uniform('channel', (signal.shape[1],)) < share
    hidden = hidden | (draws.uniform('all') < 0.125)[:, None]
    return hidden[:, :, None].expand(-1, -1, signal.shape[2]).float()


def _some_places(draws: Draws, image: Tensor) -> Tensor:
    """(batch, 1, height, width): everything, or a rectangle."""
    edges = draws.uniform('rectangle', (2, 2)).sort(dim=2).values
    inside = []
    for axis, length in enumerate(image.shape[2:]):
        at = (torch.arange(length, device=image.device) + 0.5) / length
        inside.append((at >= edges[:, axis, :1]) & (at <= edges[:, axis, 1:]))
    rectangle = inside[0][:, :, None] & inside[1][:, None, :]
    everything = (draws.uniform('all') < 0.5)[:, None, None]
    return (rectangle | everything)[:, None].float()
