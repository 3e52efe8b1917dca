"""Results of all processes together, every sample once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

PerSample = dict[str, Tensor]


def joined(parts: list[PerSample]) -> PerSample:
    """What was collected batch by batch, in all processes, in the order of the sample ids.

    A distributed sampler repeats samples so that all processes have the same number; each counts
    once here, and the result is the same in every process.

    Args:
        parts: CPU tensors by name, one value per sample; `sample_id` is among them.
    """
    if distributed.is_available() and distributed.is_initialized():
        everywhere: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(everywhere, parts)
        parts = [part for process in everywhere for part in process]
    values = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    _, first = np.unique(values['sample_id'].numpy(), return_index=True)
    order = torch.from_numpy(first)
    return {key: value[order] for key, value in values.items()}
