"""Collectives: rows, means and results of all processes."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather

PerSample = dict[str, Tensor]
"""One value per sample by quantity, (sample,) each."""

Item = TypeVar('Item')


def gather_rows(values: Tensor) -> Tensor:
    """Gather the rows of all processes, with gradients.

    A term computed from them is equal in every process, and the mean of its gradients over the
    processes, which DDP takes, is its gradient.

    Args:
        values: (batch, ...).

    Returns:
        (processes x batch, ...).
    """
    if not _is_distributed():
        return values
    parts: tuple[Tensor, ...] = all_gather(values.contiguous())  # type: ignore[no-untyped-call]
    return torch.cat(parts)


def mean_of_processes(value: Tensor) -> Tensor:
    """Average a tensor over the processes, without gradients.

    Args:
        value: A tensor of any shape, the same in every process.

    Returns:
        The mean, of the same shape.
    """
    mean = value.detach().clone()
    if _is_distributed():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def gather_lists(mine: list[Item]) -> list[Item]:
    """Concatenate the lists of all processes.

    Args:
        mine: The list of this process, of objects that can be pickled.

    Returns:
        The lists in the order of the ranks, in every process.
    """
    if not _is_distributed():
        return mine
    everywhere: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everywhere, mine)
    return [item for process in everywhere for item in process]


def joined(parts: list[PerSample]) -> PerSample:
    """Join the values of all batches and processes, in the order of the sample ids.

    A distributed sampler repeats samples so that all processes have the same number; each counts
    once here.

    Args:
        parts: CPU tensors by name, one value per sample, among them `sample_id`.

    Returns:
        (sample,) tensors by name, the same in every process.
    """
    parts = gather_lists(parts)
    values = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    _, first = np.unique(values['sample_id'].numpy(), return_index=True)
    order = torch.from_numpy(first)
    return {key: value[order] for key, value in values.items()}
