"""From what lies on the disk to what models and faults see, on the batch's device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.data.geometry import Geometry
from lipfault.data.window_batch import Windows
from lipfault.modality import Signals


def unpack(windows: Windows, geometry: Geometry) -> tuple[Signals, dict[str, Tensor]]:
    """Signals and history of a batch, channels first.

    Args:
        windows: The batch, on any device.
        geometry: Which samples make up a window.

    Returns:
        Signals, float32: series (batch, channel, time) in physical units, images
        (batch, channel, height, width) in [0, 1]; and what came directly before: series
        (batch, channel, steps) float32, images (batch, frames, channel, height, width) uint8,
        perhaps of zero steps or frames. Missing values of a series are NaN; a frame that is missing
        cannot be told from its pixels, see `without_lost_frames`.
    """
    signals, history = {}, {}
    for name, modality in geometry.modalities.items():
        block, past = windows.blocks[name], geometry.span(name).history
        if modality.kind == 'image':
            frames = block.permute(0, 1, 4, 2, 3)
            signals[name] = frames[:, -1].contiguous().float().div_(255.0)
            history[name] = frames[:, :past]
        else:
            series = block.transpose(1, 2)
            signals[name] = series[..., past:].contiguous()
            history[name] = series[..., :past]
    return signals, history


def without_lost_frames(signals: Signals, present: Mapping[str, Tensor]) -> Signals:
    """The signals with NaN in the place of images that are missing.

    Args:
        signals: From `unpack`.
        present: For each modality (batch,) bool, false where the window is missing.
    """
    return {
        name: x.where(present[name].to(x.device)[:, None, None, None], torch.nan)
        if x.dim() == 4
        else x
        for name, x in signals.items()
    }


def shapes(geometry: Geometry) -> Mapping[str, tuple[int, ...]]:
    """Shape of each signal without the batch: (channel, time) or (channel, height, width)."""
    return {
        name: (len(modality.channels), *(modality.size or (geometry.span(name).window,)))
        for name, modality in geometry.modalities.items()
    }
