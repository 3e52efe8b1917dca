"""How little a camera's picture changes: a frame that comes again gives itself away."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.modality import Modality


def stillness(
    frames: Mapping[str, Tensor], before: Mapping[str, Tensor], modalities: Mapping[str, Modality]
) -> dict[str, Tensor]:
    """exp(-c), c the root mean square change from the frame before in units of the sensor's noise.

    It is 1 for a frame that comes again bit by bit and next to 0 for two of a live camera, whose
    noise alone makes c about 1.4, however still the scene is.

    Args:
        frames: (batch, channel, height, width) in [0, 1]; NaN where a value is missing.
        before: The frames before them, of the modalities that are asked for.
        modalities: What is known of each modality.

    Returns:
        For each of `before` (batch,) float32; 0 where no pixel is known in both frames.
    """
    found = {}
    for name, earlier in before.items():
        noise = torch.tensor(modalities[name].noise, device=earlier.device)[:, None, None]
        change = ((frames[name] - earlier) / noise).square().flatten(1).nanmean(dim=1).sqrt()
        found[name] = (-change).exp().nan_to_num(0.0)
    return found
