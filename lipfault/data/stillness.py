"""Stillness of an image: similarity to the preceding frame, which reveals a repeated frame."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.modality import Modality


def stillness(
    frames: Mapping[str, Tensor], before: Mapping[str, Tensor], modalities: Mapping[str, Modality]
) -> dict[str, Tensor]:
    """Compute exp(-c) with c the RMS change from the preceding frame in units of sensor noise.

    The stillness is 1 for a frame that repeats the preceding one bit by bit. Two frames of a live
    camera have a c of at least about 1.4 from their noise alone, however still the scene is.

    Args:
        frames: (batch, channel, height, width) float32 in [0, 1] by modality; NaN where a value is
            missing.
        before: The preceding frames, in the same shape; modalities may be absent.
        modalities: Description of each modality.

    Returns:
        For each modality of `before` (batch,) float32 in [0, 1]; 0 where no pixel is present in
        both frames.
    """
    result = {}
    for name, earlier in before.items():
        # (channel, 1, 1)
        noise = torch.tensor(modalities[name].noise, device=earlier.device)[:, None, None]
        # The difference of two noisy frames has twice the variance of one: c is about sqrt(2).
        change = ((frames[name] - earlier) / noise).square().flatten(1).nanmean(dim=1).sqrt()
        result[name] = (-change).exp().nan_to_num(0.0)
    return result
