"""Convert windows from their layout on disk to the layout of models and faults."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.data.geometry import Geometry
from lipfault.data.window_batch import Windows
from lipfault.modality import Signals


def unpack(windows: Windows, geometry: Geometry) -> tuple[Signals, dict[str, Tensor]]:
    """Split windows into signals and history, channels first.

    Missing values of a series are NaN. The pixels of a missing frame are arbitrary; use
    `mask_missing_frames` to replace them by NaN.

    Args:
        windows: The windows, on any device.
        geometry: Lengths of window and history.

    Returns:
        Signals, float32: series (batch, channel, time) in physical units, images
        (batch, channel, height, width) in [0, 1]; and the history directly before: series
        (batch, channel, steps) float32, images (batch, frames, channel, height, width) uint8; the
        number of steps or frames may be zero.
    """
    signals, history = {}, {}
    for name, modality in geometry.modalities.items():
        block, past = windows.blocks[name], geometry.span(name).history
        if modality.kind == 'image':
            frames = block.permute(0, 1, 4, 2, 3)  # (batch, frame, channel, height, width)
            # A stored 255 is 1. The history stays uint8: faults read single frames of it.
            signals[name] = frames[:, -1].contiguous().float().div_(255.0)
            history[name] = frames[:, :past]
        else:
            series = block.transpose(1, 2)  # (batch, channel, time)
            signals[name] = series[..., past:].contiguous()
            history[name] = series[..., :past]
    return signals, history


def mask_missing_frames(signals: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Signals:
    """Replace missing images by NaN.

    Args:
        signals: Signals from `unpack`.
        present: For some modalities (batch,) bool, false where the window is missing; in the
            others none is.

    Returns:
        The signals; series are the same tensors.
    """
    return {
        name: x.where(present[name].to(x.device)[:, None, None, None], torch.nan)
        if x.dim() == 4 and name in present  # (batch, channel, height, width)
        else x
        for name, x in signals.items()
    }


def signal_shapes(geometry: Geometry) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of each signal without the batch dimension.

    Args:
        geometry: Lengths of window and history.

    Returns:
        (channel, time) or (channel, height, width) by modality.
    """
    return {
        name: (len(modality.channels), *(modality.size or (geometry.span(name).window,)))
        for name, modality in geometry.modalities.items()
    }
