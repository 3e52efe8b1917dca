"""What all processes hold together: results, every sample once, and batches."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather

PerSample = dict[str, Tensor]
Item = TypeVar('Item')


def in_all_processes(values: Tensor) -> Tensor:
    """Rows of all processes, (processes x batch, ...), from (batch, ...); gradients flow back.

    A term computed from them is the same in every process, and the mean of its gradients over the
    processes, which DDP takes, is its gradient.
    """
    if not _several():
        return values
    parts: tuple[Tensor, ...] = all_gather(values.contiguous())  # type: ignore[no-untyped-call]
    return torch.cat(parts)


def mean_of_processes(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradients."""
    mean = value.detach().clone()
    if _several():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def lists_joined(mine: list[Item]) -> list[Item]:
    """The lists of all processes, one after the other, in every process."""
    if not _several():
        return mine
    everywhere: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everywhere, mine)
    return [item for process in everywhere for item in process]


def joined(parts: list[PerSample]) -> PerSample:
    """What was collected batch by batch, in all processes, in the order of the sample ids.

    A distributed sampler repeats samples so that all processes have the same number; each counts
    once here, and the result is the same in every process.

    Args:
        parts: CPU tensors by name, one value per sample; `sample_id` is among them.
    """
    parts = lists_joined(parts)
    values = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    _, first = np.unique(values['sample_id'].numpy(), return_index=True)
    order = torch.from_numpy(first)
    return {key: value[order] for key, value in values.items()}
